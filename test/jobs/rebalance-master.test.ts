// A rebalance works through a master that goes on serving.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { deadVolume, startFaultyVolume } from "../support/faulty";
import { dial, follow, head } from "../support/http";
import { runMkv } from "../support/master";
import { placedOn } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { targetOf, valueOf } from "../support/values";
import { named, runJob, shelf, shelfOf, startJob, storeAll, type Stored, withoutProgress } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { startTraffic } from "./traffic";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = [...plainKeys("key", 80), ...oddKeys];
const unlinked = ["/key-5", "/ünï", "/key-6"];
let cluster: Cluster;
let stored: Map<string | Uint8Array, Stored>;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 5 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  stored = await storeAll(
    cluster,
    keys.map((key) => [key, valueOf(named(key), 3_000)]),
  );
  for (const key of unlinked) expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
  await cluster.startMaster();
});
afterAll(() => cluster[Symbol.asyncDispose]());

const now = () => ({ volumes: cluster.addresses });

test("with clients at work: every key comes home, what is unlinked stays so, the clients notice nothing", async () => {
  await using traffic = startTraffic(cluster);
  await until(() => traffic.lives > 8, { what: "the clients are at work" });
  const { exitCode, stdout, stderr } = await runJob(cluster, "rebalance", { master: cluster.master.url });
  const lives = traffic.lives;
  await until(() => traffic.lives > lives + 8, { what: "the clients are still at work" });
  await traffic.stop();
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^rebalanced \d+ keys: \d+ moved, \d+ in place, 0 failed\n$/);
  expect(shelf(cluster)).toEqual(shelfOf(stored, now()));
  for (const [key, { value }] of stored) {
    const answer = await cluster.ask("GET", targetOf(key));
    const isUnlinked = unlinked.includes(String(key));
    expect([named(key), answer.status]).toEqual([named(key), isUnlinked ? 404 : 302]);
    if (isUnlinked) continue;
    expect(answer.headers.get("key-volumes")).toBe(placedOn(key, now()).join(","));
    expect((await follow(answer)).body.equals(value)).toBe(true);
  }
  expect(await cluster.keys("unlinked")).toEqual(unlinked.toSorted());
});

test("once more: nothing moves, and the master's URL may end in a slash", async () => {
  const { exitCode, output } = await runJob(cluster, "rebalance", { master: `${cluster.master.url}/` });
  const counts = `rebalanced ${keys.length} keys: 0 moved, ${keys.length} in place, 0 failed\n`;
  expect([exitCode, output]).toEqual([0, counts]);
});

test("a key that a client is just writing is left to that client: exit code 0", async () => {
  using wire = await dial(cluster.master.port);
  const value = valueOf("slow", 400_000);
  wire.write(head({ method: "PUT", target: "/slow", headers: { "Content-Length": "400000" } }, { close: true }));
  wire.write(value.subarray(0, 200_000));
  await until(() => isUnderWay(cluster.master.port, "/slow"), { what: "the write has begun" });
  await using job = startJob(cluster, "rebalance", { master: cluster.master.url });
  const [code] = [await job.exited, expect(withoutProgress(job.stderr)).toBe("")];
  expect([code, job.stdout.trimEnd().split("\n").at(-1)]).toEqual([0, expect.stringMatching(/ 0 failed$/)]);
  wire.write(value.subarray(200_000));
  expect((await wire.answer()).status).toBe(201);
  expect((await follow(await cluster.ask("GET", "/slow"))).body.equals(value)).toBe(true);
  expect((await cluster.ask("DELETE", "/slow")).status).toBe(204);
});

test("a key that is busy all the time is named, and not said to be in place: exit code 1", async () => {
  await cluster.store("/busy", "old");
  expect((await cluster.ask("UNLINK", "/busy")).status).toBe(204);
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/busy", headers: { "Content-Length": "3" } }, { close: true }));
  await until(() => isUnderWay(cluster.master.port, "/busy"), { what: "the write has begun" });
  const { exitCode, last, stderr } = await runJob(cluster, "rebalance", { master: cluster.master.url });
  const counts = `rebalanced ${keys.length + 1} keys: 0 moved, ${keys.length} in place, 1 failed`;
  expect([exitCode, last]).toEqual([1, counts]);
  expect(stderr).toMatch(/^"\/busy": [^\n]+\nmkv: 1 key could not be rebalanced[^\n]+\n$/);
  wire.write("new");
  expect((await wire.answer()).status).toBe(201);
  expect((await runJob(cluster, "rebalance", { master: cluster.master.url })).exitCode).toBe(0);
  expect((await cluster.ask("DELETE", "/busy")).status).toBe(204);
});

test("a master that cannot move a key says why; the rest moves; exit code 1, and 0 when the volume is back", async () => {
  const flags = ["-replicas", "2", "-voltimeout", "500ms"];
  await cluster.startMaster(flags);
  const volume = cluster.volumes[4]!;
  await volume.kill();
  const { exitCode, last, stderr } = await runJob(cluster, "rebalance", { master: cluster.master.url });
  await volume.restart();
  const failed = Number(last.match(/^rebalanced \d+ keys: [1-9]\d* moved, \d+ in place, (\d+) failed$/)?.[1]);
  expect([exitCode, failed > 0]).toEqual([1, true]);
  const lines = stderr.trimEnd().split("\n");
  expect(lines.length).toBe(failed + 1);
  for (const line of lines.slice(0, -1)) expect(line).toContain(volume.address);
  await cluster.recovered();
  expect((await runJob(cluster, "rebalance", { master: cluster.master.url })).exitCode).toBe(0);
  const wanted = shelfOf(stored, { ...now(), replicas: 2 });
  const isHome = () => Bun.deepEquals(shelf(cluster), wanted);
  await until(isHome, { what: "what the volume still had of keys that moved away is removed", deadlineMs: 20_000 });
});

test.each(["rebalance", "verify"] as const)(
  "%s through a master that is not there: exit code 1 and one reason",
  async (command) => {
    const master = `http://${await deadVolume()}`;
    const { exitCode, stdout, stderr } = await runJob(cluster, command, { master });
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^mkv: the master [^\n]+\n$/);
  },
);

test("a rebuild through a master there is not: exit code 2 and one reason", async () => {
  const { exitCode, stderr } = await runJob(cluster, "rebuild", { master: cluster.master.url });
  expect([exitCode, stderr]).toEqual([2, expect.stringMatching(/^mkv: rebuild does not use -master[^\n]*\n$/)]);
});

test("a master that refuses, and falls silent before it has said why: exit code 1 and one line", async () => {
  const headers = { "Content-Length": "10" };
  await using master = await startFaultyVolume(() => ({ does: "answer", status: 409, headers }));
  const { exitCode, stderr } = await runMkv(["-master", `http://${master.address}`, "rebalance"], {
    timeoutMs: 20_000,
  });
  expect([exitCode, stderr]).toEqual([1, "mkv: the master answers 409\n"]);
});
