// What a master says to the fence of its volumes: the right time by their own clocks, in every change that it sends.
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { bigValue } from "../support/big";
import { startFaultyVolume, type Behaviour, type FaultyVolume, type SeenRequest } from "../support/faulty";
import { startGatedCluster } from "../support/gated";
import { request } from "../support/http";
import { startMaster } from "../support/master";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const HOUR_MS = 3_600_000;
const FENCE_OVER_MS = 6_500;

/** A volume whose clock is so far from this machine's, and may be set. */
class Clocked {
  aheadMs = 0;
  refusesAll = false;
  files = new Set<string>();

  behave({ method, path, headers }: SeenRequest): Behaviour {
    const seconds = Math.floor((Date.now() + this.aheadMs) / 1000);
    const fields = { Date: new Date(seconds * 1000).toUTCString(), "Mkv-Fence": "1" };
    const answer = (status: number): Behaviour => ({ does: "answer", status, headers: fields });
    if (method === "HEAD") return answer(path === "/" || this.files.has(path) ? 200 : 404);
    const said = Number(headers.get("mkv-until"));
    const sum = createHash("md5").update(` ${said} ${method} ${path}  `).digest("base64url");
    if (headers.get("mkv-sum") !== sum) return answer(403);
    if (said < seconds || this.refusesAll) return answer(412);
    // Not longer than it must be: five seconds, and a second more that `Date` does not show.
    if (said > seconds + 6) return answer(400);
    if (method === "PUT") this.files.add(path);
    else this.files.delete(path);
    return answer(204);
  }
}

/** What the volume was sent of this method. */
function sent({ seen }: FaultyVolume, method: string): number {
  return seen.filter((request) => request.method === method).length;
}

for (const [what, aheadMs] of [
  ["ahead", HOUR_MS],
  ["behind", -HOUR_MS],
] as const) {
  test(`a volume whose clock is an hour ${what} is told its own time`, async () => {
    const clocked = new Clocked();
    clocked.aheadMs = aheadMs;
    await using volume = await startFaultyVolume((seen) => clocked.behave(seen));
    await using master = await startMaster({ volumes: [volume.address], flags: ["-replicas", "1"] });
    expect((await request(master.port, { method: "PUT", target: "/short", body: "x" })).status).toBe(201);
    const body = bigValue("streamed", 500_000);
    expect((await request(master.port, { method: "PUT", target: "/streamed", body })).status).toBe(201);
    expect((await request(master.port, { method: "DELETE", target: "/short" })).status).toBe(204);
    expect([sent(volume, "PUT"), sent(volume, "DELETE")]).toEqual([2, 1]);
  });

  test(`a volume whose clock was set ${what} by an hour a moment ago is told its own time at the second try`, async () => {
    const clocked = new Clocked();
    await using volume = await startFaultyVolume((seen) => clocked.behave(seen));
    await using master = await startMaster({ volumes: [volume.address], flags: ["-replicas", "1"] });
    for (const key of ["/a", "/b"]) {
      clocked.aheadMs += aheadMs;
      const probes = sent(volume, "HEAD");
      // The background learns of it as well: then one try is enough. A clock that was set back refuses nothing.
      if (aheadMs < 0) await until(() => sent(volume, "HEAD") > probes + 1, { what: "it was asked for its time" });
      expect((await request(master.port, { method: "PUT", target: key, body: "x" })).status).toBe(201);
    }
    clocked.aheadMs += Math.abs(aheadMs);
    const puts = Array.from({ length: 5 }, (_, i) =>
      request(master.port, { method: "PUT", target: `/at-once-${i}`, body: "x" }),
    );
    expect((await Promise.all(puts)).map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    clocked.aheadMs += Math.abs(aheadMs);
    expect((await request(master.port, { method: "DELETE", target: "/a" })).status).toBe(204);
  });
}

test("a change that is refused as late though the volume's clock is as believed fails, and is not sent again", async () => {
  const clocked = new Clocked();
  await using volume = await startFaultyVolume((seen) => clocked.behave(seen));
  await using master = await startMaster({ volumes: [volume.address], flags: ["-replicas", "1"] });
  clocked.refusesAll = true;
  for (const [key, body] of [
    ["/short", "x"],
    ["/streamed", bigValue("streamed", 500_000)],
  ] as const) {
    const before = sent(volume, "PUT");
    const { status, text } = await request(master.port, { method: "PUT", target: key, body });
    expect([status, text]).toEqual([
      503,
      expect.stringMatching(/localhost:\d+\/sv[0-9A-F]+ refuses a request that came too late/),
    ]);
    expect(sent(volume, "PUT") - before).toBe(1);
  }
});

test("a master says once which volume has no fence, and nothing of one that has", async () => {
  const clocked = new Clocked();
  await using fenced = await startFaultyVolume((seen) => clocked.behave(seen));
  await using plain = await startFaultyVolume(() => ({ does: "answer", status: 200 }));
  const volumes = [fenced.address, plain.address];
  await using master = await startMaster({ volumes, flags: ["-replicas", "2"] });
  const told = () => master.output.split("\n").filter((line) => /fence/.test(line));
  await until(() => told().length > 0, { what: "it is said" });
  const before = sent(plain, "HEAD");
  await until(() => sent(plain, "HEAD") > before + 3, { what: "the volumes were asked a few times more" });
  expect(told()).toEqual([expect.stringContaining(`warn ${plain.address} has no fence (start it with mkv's own`)]);
});

test("a write and a delete that arrive when their master has long given up are refused, and nothing happened", async () => {
  const flags = ["-replicas", "1", "-voltimeout", "1s", "-stalltimeout", "1s"];
  await using cluster = await startGatedCluster({ volumes: 1, flags });
  const [gate] = cluster.gates;
  await cluster.store("/kept", "first");
  gate!.hold("PUT", "arrival", { late: true });
  gate!.hold("DELETE", "arrival", { late: true });
  const sentMs = performance.now();
  const removal = cluster.ask("DELETE", "/kept", { timeoutMs: 30_000 }).catch(() => {}); // Its master will be dead.
  expect((await cluster.ask("PUT", "/late", { body: "late" })).status).toBe(503);
  await gate!.holds("PUT");
  await gate!.holds("DELETE");
  await cluster.master.kill();
  await removal;
  await until(() => performance.now() - sentMs > FENCE_OVER_MS + 1_000, { what: "their time is over" });
  const before = cluster.remains();
  gate!.open();
  await until(() => gate!.lateArrivals >= 2, { what: "both arrive" });
  expect(before).toHaveLength(1);
  expect(cluster.remains()).toEqual(before);
});
