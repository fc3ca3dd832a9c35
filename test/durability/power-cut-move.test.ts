// The power is cut while values are moved, and just after (law 2: nothing durable goes on the strength of what is not durable
// yet); and that of the master's machine alone.
import { expect, setDefaultTimeout, test } from "bun:test";
import { runJob, startJob } from "../jobs/job";
import { copiesOf } from "../support/copies";
import { follow } from "../support/http";
import { md5Hex } from "../support/values";
import { until } from "../support/until";
import { whyNoCut } from "./ext4";
import { startPowerStore, type PowerStore } from "./power";

setDefaultTimeout(120_000);
const why = await whyNoCut();
if (why) console.log(`skipped: the power cut of a move, since no disk can be cut off here (${why})`);
const testCut = test.concurrent.skipIf(why !== undefined);

const keys = Array.from({ length: 150 }, (_, i) => `/long-ago-${i}`);
const valueOf = (key: string) => `${key} `.repeat(200);
const moved = ["-subvolumes", "6", "-grace", "2m"];

/** Keys none of whose copies is good. */
function lost(store: PowerStore, among: readonly string[] = keys): string[] {
  return among.filter((key) => !Object.values(copiesOf(store, key)).includes(md5Hex(valueOf(key))));
}

async function storeAll(store: PowerStore, among: readonly string[]): Promise<string[]> {
  const acknowledged: string[] = [];
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let i = worker; i < among.length; i += 8) {
        const stored = store.store(among[i]!, valueOf(among[i]!)).then(() => acknowledged.push(among[i]!));
        await stored.catch(() => undefined);
      }
    }),
  );
  return acknowledged;
}

/** A store whose values have been on the disks for long, and a master that has another place for them. */
async function startOld(flags: string[]): Promise<PowerStore> {
  const store = await startPowerStore(flags);
  await storeAll(store, keys);
  await store.master.stop();
  for (const disk of store.disks) disk.flush();
  expect(lost(store)).toEqual([]);
  await store.startMaster([...flags, ...moved]);
  return store;
}

async function expectAllServed(store: PowerStore, flags: readonly string[]): Promise<void> {
  const rebuilt = await runJob(store, "rebuild", { flags: [...flags, ...moved] });
  expect([rebuilt.exitCode, rebuilt.last]).toEqual([0, expect.stringMatching(/^rebuilt/)]);
  await store.startMaster([...flags, ...moved]);
  for (const key of keys) expect([key, (await follow(await store.ask("GET", key))).text]).toEqual([key, valueOf(key)]);
}

describeCuts([[], ["-sync"]]);

function describeCuts(all: string[][]): void {
  for (const flags of all) {
    for (const when of ["in the middle of", "just after"]) {
      testCut(
        `law 2: all power cut ${when} a rebalance, flags ${JSON.stringify(flags)}: every old value has a good copy`,
        async () => {
          await using store = await startOld(flags);
          await using job = startJob(store, "rebalance", { master: store.master.url, flags: moved });
          const half = () =>
            keys.filter((key) => Object.keys(copiesOf(store, key)).length > 3).length > keys.length / 2;
          if (when === "just after") expect([await job.exited, job.stderr]).toEqual([0, expect.any(String)]);
          else
            await until(() => half() || job.ended, { what: "half of the values have new copies", deadlineMs: 30_000 });
          await store.cutPower();
          expect(lost(store)).toEqual([]);
          await store.startVolumes();
          await expectAllServed(store, flags);
        },
      );
    }
  }
}

testCut(
  "the master's machine alone loses power in the middle of writes: all that was acknowledged is found by a rebuild",
  async () => {
    await using store = await startPowerStore([]);
    const early = await storeAll(store, keys.slice(0, 60));
    const writing = storeAll(store, keys.slice(60));
    await until(() => lost(store).length < 60, { what: "writes are under way", deadlineMs: 20_000 });
    const { indexDisk } = store;
    indexDisk.cut();
    await indexDisk.copy();
    await store.master.kill();
    const acknowledged = [...early, ...(await writing)];
    await indexDisk.recover();
    expect(acknowledged.length).toBeGreaterThan(60);

    await store.startMaster(); // It pays what it owes by whatever the disk has kept.
    await until(() => /listening/.test(store.master.output), { what: "it serves" });
    await Bun.sleep(8000); // Longer than a debt waits for what may still be on its way.
    expect(lost(store, acknowledged)).toEqual([]);
    await store.master.stop();
    expect((await runJob(store, "rebuild")).exitCode).toBe(0);
    await store.startMaster();
    for (const key of acknowledged)
      expect([key, (await follow(await store.ask("GET", key))).text]).toEqual([key, valueOf(key)]);
  },
);
