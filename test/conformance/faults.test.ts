import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { deadVolume, startFaultyVolume, type Behaviour } from "../support/faulty";
import { request } from "../support/http";
import { startMaster } from "../support/master";
import { until } from "../support/until";
import { valueOf } from "../support/values";

// As many volumes as replicas: one bad volume is one too many.
setDefaultTimeout(90_000);
const flags = ["-stalltimeout", "2s"];
const FAILED = [500, 502, 503, 504];
let good: Cluster;
beforeAll(async () => void (good = await startCluster({ volumes: 2, flags: ["-replicas", "2"] })));
afterAll(() => good[Symbol.asyncDispose]());

/** PUTs to two good volumes and this one must fail in time and leave nothing: not in the lists, not on the good volumes. */
async function expectCleanFailure(third: string, key: string): Promise<void> {
  await using master = await startMaster({ volumes: [...good.addresses, third], flags });
  const ask = (method: string, target: string, body?: Uint8Array, chunkBytes?: number) =>
    request(master.port, { method, target, timeoutMs: 45_000, ...(body && { body, chunkBytes }) });
  for (const chunkBytes of [undefined, 50_000]) {
    const answer = await ask("PUT", key, valueOf(key, 1_000_000), chunkBytes);
    expect(FAILED).toContain(answer.status); // The second time, too: a key that stayed locked would be 409.
    expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
    if (answer.status === 503) expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await ask("GET", key)).status).toBe(404);
    expect(JSON.parse((await ask("GET", "/?list")).text).keys).toEqual([]);
    expect(JSON.parse((await ask("GET", "/?unlinked")).text).keys).toEqual([]);
    await until(() => good.remains().length === 0, { what: "nothing is left on the good volumes" });
  }
}

test("a volume that refuses connections fails the write cleanly", async () => {
  await expectCleanFailure(await deadVolume(), "/refused");
});

const behaviours: [string, Behaviour][] = [
  ["answers 500 after the body", { does: "answer", status: 500 }],
  ["answers 500 in the middle of the body", { does: "answer", status: 500, afterBytes: 100_000 }],
  ["answers 507 before the body", { does: "answer", status: 507, afterBytes: 0 }],
  ["answers 200 where it should say 201", { does: "answer", status: 200 }],
  ["answers 403", { does: "answer", status: 403 }],
  ["redirects", { does: "answer", status: 302, headers: { Location: "http://localhost:1/" } }],
  ["closes the connection at once", { does: "cut", afterBytes: 0 }],
  ["closes the connection in the middle of the body", { does: "cut", afterBytes: 100_000 }],
  ["closes the connection instead of an answer", { does: "cut" }],
];

test.each(behaviours)("a volume that %s fails the write cleanly", async (name, onPut) => {
  await using bad = await startFaultyVolume(({ method }) =>
    method === "PUT" ? onPut : { does: "answer", status: method === "DELETE" ? 204 : 200 },
  );
  await expectCleanFailure(bad.address, `/bad-${name.replaceAll(/\W+/g, "-")}`);
  expect(bad.seen.some(({ method }) => method === "PUT")).toBe(true);
});

const stalls: [string, number | undefined][] = [
  ["reads nothing", 0],
  ["stops reading in the middle", 100_000],
  ["reads all and never answers", undefined],
];

// At once, each on a pair of good volumes of its own: their deadlines run side by side.
test("a volume that stalls fails the write soon after the -stalltimeout, wherever it stalls", async () => {
  const outcomes = stalls.map(async ([name, afterBytes]) => {
    const stall: Behaviour = { does: "stall", ...(afterBytes !== undefined && { afterBytes }) };
    await using bad = await startFaultyVolume(({ method }) =>
      method === "PUT" ? stall : { does: "answer", status: method === "DELETE" ? 204 : 200 },
    );
    await using pair = await startCluster({ volumes: 2, flags: ["-replicas", "2"] });
    await using master = await startMaster({ volumes: [...pair.addresses, bad.address], flags });
    const put = { method: "PUT", target: "/stalled", body: valueOf(name, 30_000_000), timeoutMs: 20_000 };
    const isSent = async () => {
      expect(FAILED).toContain((await request(master.port, put)).status);
      return bad.seen.some(({ method }) => method === "PUT");
    };
    await until(isSent, { what: "the volume is sent a value, however busy this process is", deadlineMs: 40_000 });
    expect((await request(master.port, { target: "/stalled" })).status).toBe(404);
    await until(() => pair.remains().length === 0, { what: "nothing is left on the good volumes" });
    expect([403, 409]).not.toContain((await request(master.port, put)).status);
  });
  await Promise.all(outcomes);
});
