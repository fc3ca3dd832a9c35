// A replacement that cannot end as it should: what was staged is gone, or somebody has stored another value meanwhile.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StandIn } from "../durability/stand-in";
import { runJob } from "../jobs/job";
import { temporaryFolder } from "../support/folder";
import { type GatedCluster, startGatedCluster } from "../support/gated";
import { holding } from "../support/holding";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { recordOf, writeRecords } from "../support/records";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";

setDefaultTimeout(60_000);

/** A store with a live key, and a replacement of it that is held before it takes its place anywhere. */
async function startReplacement(replicas: number) {
  const flags = ["-subvolumes", "1", "-threads", "1", "-replicas", String(replicas)];
  const cluster = await startGatedCluster({ volumes: replicas, flags });
  await cluster.store("/key", "old");
  for (const gate of cluster.gates) gate.hold("MOVE", "arrival");
  const put = cluster.ask("PUT", "/key?replace", { body: "the new value" }).catch(() => undefined);
  for (const gate of cluster.gates) await gate.holds("MOVE");
  return { cluster, put };
}

async function valueOf(cluster: GatedCluster): Promise<string> {
  return (await follow(await cluster.ask("GET", "/key"))).text;
}

test.concurrent.each([1, 3])(
  "staged files that are gone before the move are no new value, replicas %i",
  async (replicas) => {
    const { cluster, put } = await startReplacement(replicas);
    await using _cluster = cluster;
    for (const { dir } of cluster.volumes) rmSync(join(dir, "staged", pathOf("/key")));
    cluster.openAll();
    const answer = (await put)!;
    expect([answer.status, answer.text]).toEqual([503, expect.stringContaining("send it again")]);
    expect(await valueOf(cluster)).toBe("old");
  },
);

/** What a loss of power leaves of a file that nobody has synced: a part of it, or zeros. */
const leaves: [what: string, left: (content: Buffer) => Uint8Array][] = [
  ["a part", (content) => content.subarray(0, 3)],
  ["nothing", () => new Uint8Array()],
  ["its length", ({ length }) => new Uint8Array(length)],
];

/** Leaves that of a file, with its time. */
function loseData(file: string, left: (content: Buffer) => Uint8Array): void {
  const { atime, mtime } = statSync(file);
  writeFileSync(file, left(readFileSync(file)));
  utimesSync(file, atime, mtime);
}

test.concurrent.each(leaves)(
  "where power was lost, and %s is left of what was staged, the old value stays",
  async (_, left) => {
    const { cluster, put } = await startReplacement(3);
    await using _cluster = cluster;
    await cluster.master.kill();
    await put;
    for (const { dir } of cluster.volumes) loseData(join(dir, "staged", pathOf("/key")), left);
    cluster.openAll();
    await cluster.startMaster();
    const ended = async () => (await cluster.ask("POST", "/key?rebalance")).status === 204;
    await until(ended, { what: "the replacement has ended", deadlineMs: 20_000 });
    expect(await valueOf(cluster)).toBe("old");
    await until(() => cluster.remains().length === 3, { what: "nothing else is left", deadlineMs: 20_000 });
  },
);

test.concurrent.each([false, true])(
  "where power was lost, and the value in its place has no more than its length, what was late takes its place (sync: %p)",
  async (canSync) => {
    const flags = ["-subvolumes", "1", "-minreplicas", "1", "-voltimeout", "2s"];
    await using cluster = await startGatedCluster({ flags });
    await cluster.store("/key", "old");
    const late = [1, 2].map((at) => ({ gate: cluster.gates[at]!, volume: cluster.volumes[at]! }));
    for (const { gate } of late) gate.hold("MOVE", "arrival");
    const put = cluster.ask("PUT", "/key?replace", { body: "the new value" });
    for (const { gate, volume } of late) {
      await gate.holds("MOVE");
      await volume.kill();
    }
    cluster.openAll();
    expect((await put).status).toBe(201);
    await cluster.volumes[0]!.kill();
    loseData(join(cluster.volumes[0]!.dir, pathOf("/key")), ({ length }) => new Uint8Array(length));
    await using held = new AsyncDisposableStack();
    for (const volume of cluster.volumes) {
      if (canSync)
        held.use(await startSyncing(volume)); // It could not when the value came.
      else await volume.restart();
    }
    if (canSync) await cluster.startMaster();
    const isBack = () =>
      late.every(({ volume }) => readFileSync(join(volume.dir, pathOf("/key")), "utf8") === "the new value");
    await until(isBack, { what: "the new value is at its place", deadlineMs: 30_000 });
    const verify = { master: cluster.master.url, flags: ["-subvolumes", "1", "-md5", "-repair"] };
    expect((await runJob(cluster, "verify", verify)).exitCode).toBe(0);
    expect(await valueOf(cluster)).toBe("the new value");
  },
);

/** The same volume, with a service that syncs. */
async function startSyncing({ dir, port }: Volume): Promise<AsyncDisposable> {
  return await holding(async (held) => {
    const socket = join(held.use(temporaryFolder()).path, "sync");
    held.use(new StandIn(dir, socket)).start();
    held.use(await startVolume({ dir, port, env: { SYNC_SOCKET: socket } }));
    return held;
  });
}

test.concurrent(
  "what another program has stored without an MD5 is not moved over, nor guessed at while no volume answers",
  async () => {
    const { cluster, put } = await startReplacement(3);
    await using _cluster = cluster;
    await cluster.master.kill();
    await put;
    cluster.openAll();
    const begun = Date.now();
    await until(() => Date.now() > begun + 2_500, { what: "the other value is of a later second" });
    const record = (await recordOf(cluster.db, "/key"))!;
    await writeRecords(cluster.db, [["/key", record.replace(/^HASH[0-9a-f]{32}/, "")]]);
    for (const { dir } of cluster.volumes) writeFileSync(join(dir, pathOf("/key")), "of the Go program");
    for (const volume of cluster.volumes) await volume.stop();
    await cluster.startMaster();
    const early = await cluster.ask("DELETE", "/key");
    expect([early.status, early.text]).toEqual([503, expect.stringContaining("says whether the value was replaced")]);
    for (const volume of cluster.volumes) await volume.start();
    const ended = async () => (await cluster.ask("POST", "/key?rebalance")).status === 204; // Ends what is under way first.
    await until(ended, { what: "no volume may carry out an earlier request", deadlineMs: 20_000 });
    expect(await valueOf(cluster)).toBe("of the Go program");
  },
);
