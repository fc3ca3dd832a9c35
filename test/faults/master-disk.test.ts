// The disk of the master is full: it ends at the first write that fails, rather than promise what it could not keep, and
// knows all that it has promised when there is room again. Index and journal lie on small disks, which take root to mount.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk, type Disk } from "../support/disk";
import { startFaultyVolume } from "../support/faulty";
import { temporaryFolder } from "../support/folder";
import { holding } from "../support/holding";
import { follow } from "../support/http";
import { placedOn } from "../support/placement";
import { until, within } from "../support/until";
import { startVolume } from "../support/volume";

setDefaultTimeout(90_000);
const why = whyNoDisk();
if (why) console.log(`skipped: a full disk of the master, since none can be mounted here (${why})`);
const testOnDisk = test.concurrent.skipIf(why !== undefined);

const DISK_BYTES = 4_000_000;
const LEFT_BYTES = 50_000; // Room for some hundred writes more.
const WRITERS = 8;

type Tight = { cluster: Cluster; disk: Disk } & AsyncDisposable;

/** Makes of a small disk and a folder elsewhere the path of an index, and of the journals beside it. */
type Layout = (disk: string, folder: string) => string;

const onDisk: Record<string, Layout> = {
  "the index and the journal": (disk) => join(disk, "index"),
  "the index": (disk) => disk, // The journal is beside it.
  "the journal"(disk, folder) {
    symlinkSync(join(disk, "journal"), join(folder, "index.journal-0.new")); // Under this name it is begun.
    return join(folder, "index");
  },
  "what is remembered"(disk, folder) {
    mkdirSync(join(disk, "memory"));
    symlinkSync(join(disk, "memory"), join(folder, ".index.mkv"));
    return join(folder, "index");
  },
  "the journal of the second thread"(disk, folder) {
    symlinkSync(join(disk, "journal"), join(folder, "index.journal-1.new"));
    return join(folder, "index");
  },
};

/** A store whose master keeps something on a small disk; it is not started yet. */
async function tightCluster(layout: Layout, flags: string[]): Promise<Tight> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const disk = held.use(smallDisk(DISK_BYTES));
    const volumes = [];
    for (let i = 0; i < 3; i++) volumes.push(held.use(await startVolume()));
    const cluster = new Cluster(volumes, layout(disk.path, folder.path), flags, undefined, held);
    return { cluster, disk, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  });
}

interface Ledger {
  tried: string[];
  stored: Set<string>;
}

/** Writes these keys, each once, until the master is gone. */
function startWriters(cluster: Cluster, keys: Iterator<string>): Ledger & { done: Promise<unknown> } {
  const ledger: Ledger = { tried: [], stored: new Set() };
  const { process } = cluster.master;
  const write = async () => {
    while (!process.ended) {
      const key = keys.next().value as string;
      ledger.tried.push(key);
      const answer = await cluster.ask("PUT", key, { body: `value of ${key}` }).catch(() => undefined);
      if (answer?.status === 201) ledger.stored.add(key);
    }
  };
  return { ...ledger, done: Promise.all(Array.from({ length: WRITERS }, write)) };
}

function* numbered(isWanted = (_key: string) => true): Generator<string, never> {
  for (let i = 0; ; i++) if (isWanted(`/key-${i}`)) yield `/key-${i}`;
}

/** How a master may end: a thread that is not the first can only kill the process. */
const endings = (threads: number) => (threads === 1 ? [1] : [1, 128 + 9]);

/** What a master has said of its own failures since it listened, line by line. */
function complaints({ master }: Cluster): string[] {
  const lines = master.process.stderr.trimEnd().split("\n");
  const sinceThen = lines.slice(lines.findIndex((line) => /listening on port/.test(line)) + 1);
  return sinceThen.filter((line) => / error /.test(line));
}

const NO_ROOM =
  /^\S+ error (the (index|journal)\b|\S+\/\.index\.mkv ).*no space left on device.*; make room, then start again$/i;

testOnDisk.each([
  ["the index and the journal", 1],
  ["the index and the journal", 2],
  ["the index", 1],
  ["the journal", 1],
] as const)(
  "%s on a full disk, %d threads: what was acknowledged is there when there is room",
  async (what, threads) => {
    await using tight = await tightCluster(onDisk[what]!, ["-threads", String(threads)]);
    const { cluster, disk } = tight;
    await cluster.startMaster();
    const { tried, stored, done } = startWriters(cluster, numbered());
    await until(() => stored.size > 100, { what: "a hundred keys are stored" });
    await disk.fill(LEFT_BYTES);
    const exited = within(cluster.master.process.exited, { what: "the master ends", deadlineMs: 20_000 });
    expect(endings(threads)).toContain(await exited);
    await done;
    expect(complaints(cluster)[0]).toMatch(NO_ROOM);
    expect(complaints(cluster).length).toBeLessThanOrEqual(threads);
    if (what !== "the journal")
      await expect(cluster.startMaster()).rejects.toThrow(/code 1 .*No space left on device/s);

    disk.clear();
    await cluster.startMaster();
    await expectKept(cluster, { tried, stored });
    await cluster.recovered();
    const live = (await cluster.keys("list")).length;
    await until(() => cluster.remains().length === 3 * live, { what: "nothing else is left", deadlineMs: 20_000 });
  },
);

/** What was acknowledged is there; what was tried and not acknowledged is as it should be, or not there. */
async function expectKept(cluster: Cluster, { tried, stored }: Ledger): Promise<void> {
  const live = new Set(await cluster.keys("list"));
  expect([...stored].filter((key) => !live.has(key))).toEqual([]);
  expect(live.isSubsetOf(new Set(tried))).toBe(true);
  for (const key of tried) {
    const found = await cluster.ask("GET", key);
    expect([key, found.status]).toEqual([key, live.has(key) ? 302 : 404]);
    if (live.has(key)) expect((await follow(found)).text).toBe(`value of ${key}`);
  }
}

testOnDisk(
  "what lies beside the index, on a full disk: it ends as well, once there is something to remember",
  async () => {
    await using tight = await tightCluster(onDisk["what is remembered"]!, ["-minreplicas", "2"]);
    const { cluster, disk } = tight;
    await cluster.startMaster();
    const { tried, stored, done } = startWriters(cluster, numbered());
    await until(() => stored.size > 100, { what: "a hundred keys are stored" });
    await disk.fill(0);
    await cluster.volumes[0]!.stop(); // Each key that is not at home is remembered.
    const exited = within(cluster.master.process.exited, { what: "the master ends", deadlineMs: 20_000 });
    expect(endings(2)).toContain(await exited);
    await done;
    expect(complaints(cluster)[0]).toMatch(NO_ROOM);
    expect(complaints(cluster).length).toBeLessThanOrEqual(2);
    disk.clear();
    await cluster.volumes[0]!.start();
    await cluster.startMaster();
    await expectKept(cluster, { tried, stored });
  },
);

testOnDisk(
  "one thread that can write no more ends the whole master at once, also while a volume is silent",
  async () => {
    await using silent = await startFaultyVolume(() => ({ does: "stall" }));
    const flags = ["-threads", "2", "-voltimeout", "15s"];
    await using tight = await tightCluster(onDisk["the journal of the second thread"]!, flags);
    const { cluster, disk } = tight;
    const volumes = [...cluster.addresses, silent.address];
    await cluster.startMaster(flags, volumes);
    await until(() => silent.seen.length > 0, { what: "the silent volume is asked for a sign of life" });
    const elsewhere = (key: string) => !placedOn(key, { volumes }).some((name) => name.startsWith(silent.address));
    const { stored, done } = startWriters(cluster, numbered(elsewhere));
    await until(() => stored.size > 100, { what: "a hundred keys are stored" });
    await disk.fill(LEFT_BYTES);
    await until(() => complaints(cluster).length > 0, { what: "a thread can write no more" });
    const ended = within(cluster.master.process.exited, { what: "the master ends", deadlineMs: 5_000 });
    expect(endings(2)).toContain(await ended);
    await done;
    expect(complaints(cluster)).toEqual([expect.stringMatching(NO_ROOM)]);
  },
);
