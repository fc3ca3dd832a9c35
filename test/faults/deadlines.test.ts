// Whoever falls silent, a client or a volume, holds nobody up for longer than a deadline.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { startFaultyVolume, type Behaviour, type FaultyVolume, type SeenRequest } from "../support/faulty";
import { chunk, dial, follow, head, request, type Wire } from "../support/http";
import { runMkv, startMaster } from "../support/master";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();
const ofVolumes = ["-voltimeout", "2s", "-stalltimeout", "1s"];
const deadlines = [...ofVolumes, "-clienttimeout", "1s"];
// A DELETE may have to wait for a disk: the longest deadline there is.
const LONGEST_MS = 15_000;
const BYTES = 400_000;

let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster({ flags: deadlines })));
afterAll(() => cluster[Symbol.asyncDispose]());

const framings: [string, Record<string, string>, (bytes: Buffer) => Buffer][] = [
  ["an announced length", { "Content-Length": String(BYTES) }, (bytes) => bytes],
  ["chunks", { "Transfer-Encoding": "chunked" }, (bytes) => chunk(bytes)],
];

/** The connection is answered with 408 or closed, in time. */
async function expectCutOff(wire: Wire, deadlineMs: number): Promise<void> {
  const ended = wire.answer({ timeoutMs: deadlineMs }).then(
    ({ status }) => expect(status).toBe(408),
    (error: Error) => expect(error.message).toStartWith("connection closed"),
  );
  await ended;
}

/** Nothing of this key is kept, and it is free. */
async function expectFree(key: string): Promise<void> {
  const free = async () => {
    const { status } = await cluster.ask("PUT", key, { body: "free" });
    expect([201, 409]).toContain(status);
    return status === 201;
  };
  await until(free, { what: "the key can be written", deadlineMs: 5_000 });
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await until(() => cluster.remains().length === 0, { what: "the volumes keep nothing" });
}

for (const [framing, headers, framed] of framings) {
  test(`a client that stops in the middle of a value is cut off at -clienttimeout (${framing})`, async () => {
    using wire = await dial(cluster.master.port);
    wire.write(head({ method: "PUT", target: "/stops", headers }, { close: true }));
    wire.write(framed(valueOf("stops", BYTES / 2)));
    await until(() => isUnderWay(cluster.master.port, "/stops"), { what: "the write has begun" });
    expect((await cluster.ask("PUT", "/stops", { body: "x" })).status).toBe(409);
    await expectCutOff(wire, 10_000);
    await expectFree("/stops");
  });

  test(`a client that trickles a value byte by byte does not hold its key for ever (${framing})`, async () => {
    using wire = await dial(cluster.master.port);
    wire.write(head({ method: "PUT", target: "/trickles", headers }, { close: true }));
    const value = valueOf("trickles", BYTES);
    let sent = 0;
    const timer = setInterval(() => wire.write(framed(value.subarray(sent, ++sent))), 100);
    try {
      await expectCutOff(wire, 20_000);
    } finally {
      clearInterval(timer);
    }
    await expectFree("/trickles");
  });

  test(`a client that is slow but steady is waited for (${framing})`, async () => {
    using wire = await dial(cluster.master.port);
    wire.write(head({ method: "PUT", target: "/steady", headers }, { close: true }));
    const value = valueOf("steady", BYTES);
    let sent = 0;
    const dose = () => {
      wire.write(framed(value.subarray(sent, (sent += BYTES / 16))));
      if (sent < BYTES) return;
      clearInterval(timer);
      if (framing === "chunks") wire.write("0\r\n\r\n");
    };
    const timer = setInterval(dose, 250); // For four times as long as it may be silent.
    expect((await wire.answer()).status).toBe(201);
    expect((await follow(await cluster.ask("GET", "/steady"))).body.equals(value)).toBe(true);
    expect((await cluster.ask("DELETE", "/steady")).status).toBe(204);
  });
}

test("a client that waits in silence with its head alone is cut off, and its key is free", async () => {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/silent", headers: { "Content-Length": "100" } }, { close: true }));
  await expectCutOff(wire, 10_000);
  await expectFree("/silent");
});

/** A volume that never answers what the test names, and everything else as if it had every file. */
async function mute(isMuted: (request: SeenRequest) => boolean): Promise<FaultyVolume> {
  return startFaultyVolume((request): Behaviour => {
    if (isMuted(request)) return { does: "stall" };
    if (request.method === "PUT") return { does: "answer", status: 201 };
    return { does: "answer", status: request.method === "DELETE" ? 204 : 200, body: "x" };
  });
}

const operations: [string, number[], number][] = [
  ["PUT", [503], LONGEST_MS],
  ["GET", [302], 1_900],
  ["HEAD", [302], 1_900],
  ["UNLINK", [204], 1_900],
  ["DELETE", [204], LONGEST_MS],
  ["GET ?list", [200], 1_900],
  ["POST ?rebalance", [400], LONGEST_MS],
];

test.each(operations)(
  "a volume that takes connections and never answers: %s ends in time",
  async (operation, statuses, deadlineMs) => {
    const [method = "", query = ""] = operation.split(" ");
    let isMute = false;
    await using silent = await mute(() => isMute);
    await using master = await startMaster({
      volumes: [...cluster.addresses.slice(0, 2), silent.address],
      flags: deadlines,
    });
    const stored = { method: "PUT", target: "/here", body: "here" };
    if (method !== "PUT") expect((await request(master.port, stored)).status).toBe(201);
    isMute = true;
    for (let i = 0; i < 2; i++) {
      const started = performance.now();
      const answer = await request(master.port, {
        ...(method === "PUT" ? stored : { method, target: `/here${query}` }),
        timeoutMs: 60_000,
      });
      expect(i === 0 || !["UNLINK", "DELETE"].includes(method) ? statuses : [404]).toContain(answer.status);
      expect(performance.now() - started).toBeLessThan(deadlineMs);
    }
    isMute = false;
    const gone = async () =>
      [204, 404].includes((await request(master.port, { method: "DELETE", target: "/here" })).status);
    await until(gone, { what: "the key can be deleted when the volume answers again", deadlineMs: 20_000 });
    await until(() => cluster.remains().length === 0, { what: "nothing is left", deadlineMs: 20_000 });
  },
);

test("a volume that falls silent in the middle of a listing ends a rebuild, which names it", async () => {
  const silent = /^\/sv00\/0a\/0b\/$/;
  const entry = (name: string) =>
    `[\n{ "name":"${name}", "type":"directory", "mtime":"Sat, 01 Jan 2022 00:00:00 GMT" }\n]\n`;
  await using volume = await startFaultyVolume(({ path }): Behaviour => {
    const name = path === "/" ? "sv00" : path === "/sv00/" ? "0a" : "0b";
    if (!silent.test(path)) return { does: "answer", status: 200, body: entry(name) };
    return { does: "answer", status: 200, headers: { "Content-Length": "100000" }, body: "[\n" };
  });
  const started = performance.now();
  const args = ["-db", `${cluster.db}-silent`, "-volumes", volume.address, "-replicas", "1", ...ofVolumes, "rebuild"];
  const { exitCode, stderr } = await runMkv(args, { timeoutMs: 60_000 });
  expect([exitCode, stderr.includes(volume.address)]).toEqual([1, true]);
  expect(performance.now() - started).toBeLessThan(LONGEST_MS);
});
