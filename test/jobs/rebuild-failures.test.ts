// A volume that cannot be listed ends a rebuild: an index without its files would be worse than the old one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openMemory } from "../../src/ledger/level/memory";
import { startCluster, type Cluster } from "../support/cluster";
import { deadVolume, type Behaviour } from "../support/faulty";
import { temporaryFolder } from "../support/folder";
import { besides, bytesOf, indexOf, runJob, startJob } from "./job";
import { plainKeys } from "./keys";
import { DEEP, listingOf, startFailing, startStandIn } from "./standin";

setDefaultTimeout(60_000);
const keys = plainKeys("key", 20);
const deadlines = ["-voltimeout", "500ms", "-stalltimeout", "1s"];
let cluster: Cluster;
let written: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 2, flags: ["-replicas", "2"] });
  for (const key of keys) await cluster.store(key);
  expect((await cluster.ask("UNLINK", keys[0]!)).status).toBe(204);
  await cluster.master.stop();
  written = await indexOf(cluster.db);
  expect(Object.keys(bytesOf(cluster.db))).toContainEqual(expect.stringMatching(/\.ldb$/));
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** The rebuild ends with exit code 1, names the volume in one line, and leaves nothing changed. */
async function expectNothingDone(address: string, db: string, more: string[] = []): Promise<string> {
  const bytes = existsSync(db) ? bytesOf(db) : undefined;
  const flags = ["-replicas", "2", ...deadlines, ...more];
  const outcome = await runJob(cluster, "rebuild", { db, volumes: [...cluster.addresses, address], flags });
  expect([outcome.exitCode, outcome.stdout]).toEqual([1, ""]);
  const why = outcome.stderr.match(/(?:^|\n)(mkv: [^\n]+)\n$/)?.[1];
  expect(why).toContain(address);
  expect(besides(db)).toEqual([]);
  if (bytes) {
    expect(bytesOf(db)).toEqual(bytes);
    expect(await indexOf(db)).toEqual(written);
  } else expect(existsSync(db)).toBe(false);
  return why!;
}

const answer = (status: number, body: string, headers: Record<string, string> = {}): Behaviour => ({
  does: "answer",
  status,
  body,
  headers,
});
const two = listingOf({ name: "YQ==", bytes: 1 }, { name: "Yg==", bytes: 1 });
const failures: [what: string, at: string, failure: Behaviour, says: RegExp][] = [
  ["answers 500", "/", answer(500, ""), /500/],
  ["answers 500 for a folder", DEEP, answer(500, ""), /500/],
  ["refuses access", "/", answer(401, ""), /401.*-userpass/],
  ["has no root", "/", answer(404, ""), /not there/],
  ["does not know a folder that it has listed", DEEP, answer(404, ""), /listed a moment ago/],
  ["redirects elsewhere", "/sv00/", answer(302, "", { Location: "/" }), /302/],
  ["sends a page for people", "/", answer(200, "<html><body>Index of /</body></html>\n"), /no listing/],
  ["sends a page for people for a folder", DEEP, answer(200, "<html>\n<body>\n"), /no listing/],
  ["sends nothing", DEEP, answer(200, ""), /no listing/],
  [
    "ends a listing early, between two entries",
    DEEP,
    answer(200, two.split("\n").slice(0, 2).join("\n")),
    /ends early/,
  ],
  ["ends a listing early, within an entry", DEEP, answer(200, two.slice(0, -30)), /no listing/],
  ["lists without order", DEEP, answer(200, listingOf({ name: "b", bytes: 1 }, { name: "a", bytes: 1 })), /order/],
  ["lists files before folders", DEEP, answer(200, listingOf({ name: "a", bytes: 1 }, { name: "b" })), /order/],
  ["lists a file twice", DEEP, answer(200, listingOf({ name: "a", bytes: 1 }, { name: "a", bytes: 1 })), /order/],
  ["lists a file without its length", DEEP, answer(200, '[\n{ "name":"a", "type":"file" }\n]\n'), /size/],
  ["goes on after the end of a listing", DEEP, answer(200, two + two), /after its end/],
  ["closes the connection", DEEP, { does: "cut" }, /./],
];

test.each(failures)("a volume that %s: nothing is done, and it is named", async (_, at, failure, says) => {
  await using volume = await startFailing(at, failure);
  expect(await expectNothingDone(volume.address, cluster.db)).toMatch(says);
});

test.each([1, 2, 3])("of %d threads the one whose folder cannot be listed ends them all", async (threads) => {
  await using volume = await startFailing(DEEP, answer(500, "")); // Of the first thread, or of the last of three.
  expect(await expectNothingDone(volume.address, cluster.db, ["-threads", String(threads)])).toMatch(/500/);
});

test("a volume that is down: nothing is done, and it is named", async () => {
  expect(await expectNothingDone(await deadVolume(), cluster.db)).toContain("refuses connections");
});

test("a volume that cannot be listed: a new index is not begun", async () => {
  await using volume = await startFailing(DEEP, answer(500, ""));
  const db = `${cluster.db}-new`;
  await expectNothingDone(volume.address, db);
});

test("a volume that falls silent in the middle of a listing: nothing is done, and it is named", async () => {
  const begun = answer(200, "[\n", { "Content-Length": "1000" });
  await using volume = await startFailing(DEEP, begun);
  expect(await expectNothingDone(volume.address, cluster.db)).toMatch(/not answered/);
});

test("a disk that is not mounted, of a server that is silent at first: nothing is done, and it is named", async () => {
  const { dir } = cluster.volumes[1]!;
  const aside = `${dir}-aside`;
  const disk = (from: string, to: string) => {
    mkdirSync(to, { recursive: true });
    for (const name of readdirSync(from)) if (name !== ".mkv") renameSync(join(from, name), join(to, name));
  };
  disk(dir, aside);
  cluster.volumes[1]!.freeze();
  await using job = startJob(cluster, "rebuild", { flags: ["-replicas", "2"] });
  await Bun.sleep(3000); // For longer than a master looks at its volumes before it serves them.
  cluster.volumes[1]!.thaw();
  expect(await job.exited).toBe(1);
  expect(job.stderr).toMatch(new RegExp(`mkv: ${cluster.addresses[1]} is not the disk it was: mount it`));
  disk(aside, dir);
  expect(await indexOf(cluster.db)).toEqual(written);
});

test("a disk that is taken away while it is listed: nothing is done, and it is named", async () => {
  const id = crypto.randomUUID();
  let isListed = false;
  await using volume = await startStandIn(({ path }) => {
    isListed ||= path === DEEP;
    if (path === "/mkv/id" && !isListed) return answer(200, `${id}\n`);
    return path.endsWith("/mkv/id") ? answer(404, "") : answer(200, listingOf());
  });
  {
    await using memory = await openMemory(cluster.db);
    await memory.put(`id ${volume.address}`, id); // It is one of the store's, with its disks.
    for (let i = 0; i < 10; i++) await memory.put(`id ${volume.address}/sv0${i}`, null);
  }
  expect(await expectNothingDone(volume.address, cluster.db)).toContain("is not the disk it was: mount it");
});

test("after all of that the index still holds every key as it was", async () => {
  expect(await indexOf(cluster.db)).toEqual(written);
  await cluster.startMaster();
  expect(await cluster.keys("list")).toEqual(keys.slice(1).sort());
  expect(await cluster.keys("unlinked")).toEqual([keys[0]!]);
});

test.skipIf(process.getuid?.() !== 0)("what another user has left of a rebuild is named, and is no bug", async () => {
  await using folder = temporaryFolder();
  const db = join(folder.path, "index");
  const left = join(folder.path, ".index.rebuild");
  mkdirSync(left, { mode: 0o755 });
  writeFileSync(join(left, "CURRENT"), "");
  chownSync(folder.path, 65534, 65534); // Root rebuilds as this user.
  const { exitCode, stderr } = await runJob(cluster, "rebuild", { db, flags: ["-replicas", "2"] });
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`mkv: ${left} cannot be removed: EACCES`)]);
  expect(existsSync(db)).toBe(false);
});
