// A backup of the ledger: made while the store serves or not, and made a ledger again when the index is lost.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Cluster, startCluster } from "../support/cluster";
import { withoutGrace } from "../support/grace";
import { follow } from "../support/http";
import { mkv, runMkv } from "../support/master";
import { pathOf } from "../support/placement";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";
import { targetOf, valueOf } from "../support/values";
import { indexOf, named, runJob, shelf, swapPlace } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { changeRemembered } from "./remembered";
import { startTraffic } from "./traffic";
import { countsOf } from "./verified";

setDefaultTimeout(60_000);
withoutGrace();
const keys = [...plainKeys("key", 30), ...oddKeys];
const unlinked = ["/key-3", "/ünï"];
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
  for (const key of keys) await cluster.store(key as string, valueOf(named(key)));
  for (const key of unlinked) expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const file = (name: string) => join(dirname(cluster.db), name);

/** Exports into a file of this name, from the index or through the master. */
async function exported(name: string, from: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runMkv([...from, "export"]);
  expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/^exported \d+ keys: [^\n]+\n$/)]);
  writeFileSync(file(name), stdout);
  return stdout;
}

function imported(name: string, { db = cluster.db, flags = [] as string[] } = {}) {
  return runMkv(["-db", db, ...flags, "import"], { stdin: Bun.file(file(name)) });
}

/** Loses the index and all that lies beside it; the master must have ended. */
function loseIndex(): void {
  for (const name of readdirSync(dirname(cluster.db)).filter((name) => /^\.?index/.test(name)))
    rmSync(file(name), { recursive: true });
}

async function verify(...flags: string[]) {
  const { last, exitCode, output } = await runJob(cluster, "verify", { flags });
  return { exitCode, output, counts: countsOf(last) };
}

/** The lines of keys that have a record: what was owed a moment ago may still be told of. */
const keysIn = (text: string) =>
  text.split("\n").filter((line) => line.startsWith('{"key"') && line.includes('"state"'));

test("with clients at work a backup is whole; of a store at rest, through the master or not, it is the same", async () => {
  await using traffic = startTraffic(cluster);
  await until(() => traffic.lives > 4, { what: "the clients are at work" });
  const busy = await exported("busy", ["-master", cluster.master.url]);
  await traffic.stop();
  expect(JSON.parse(busy.split("\n")[0]!)).toMatchObject({ version: 1, consistent: true, topology: { replicas: 3 } });
  for (const list of ["list", "unlinked"] as const)
    for (const key of await cluster.keys(list, "/client-")) await cluster.ask("DELETE", key);
  const through = await exported("through", ["-master", cluster.master.url]);
  await cluster.master.stop();
  const own = await exported("own", ["-db", cluster.db]);
  expect(keysIn(own)).toEqual(keysIn(through));
  expect(keysIn(own).length).toBe(keys.length);
  await cluster.startMaster();
});

test("the index is lost: after an import everything is served, and verify finds nothing wrong", async () => {
  const before = [shelf(cluster), await cluster.keys("list"), await cluster.keys("unlinked")];
  await exported("drill", ["-master", cluster.master.url]);
  await cluster.master.kill();
  loseIndex();
  const { exitCode, stdout, stderr } = await imported("drill");
  expect([exitCode, stdout]).toEqual([0, expect.stringMatching(new RegExp(`^imported ${keys.length} keys [^\n]+\n$`))]);
  expect(stderr).toContain("mkv rebuild");
  await cluster.startMaster();
  expect([shelf(cluster), await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual(before);
  for (const key of keys.filter((key) => !unlinked.includes(String(key)))) {
    const answer = await follow(await cluster.ask("GET", targetOf(key)));
    expect([named(key), answer.body.equals(valueOf(named(key)))]).toEqual([named(key), true]);
  }
  await cluster.master.stop();
  const { counts, output } = await verify("-md5");
  expect([counts, output]).toEqual([countsOf({ keys: keys.length, files: 3 * keys.length }), expect.any(String)]);
  await cluster.startMaster();
});

test("an older backup: what was stored since is not removed on its word, and a rebuild finds it", async () => {
  expect((await cluster.ask("PUT", "/since", { body: "later" })).status).toBe(201);
  expect((await cluster.ask("DELETE", targetOf("/key-1"))).status).toBe(204);
  await cluster.master.stop();
  loseIndex();
  expect((await imported("drill")).exitCode).toBe(0);
  await cluster.startMaster();
  expect((await cluster.ask("GET", "/since")).status).toBe(404);
  expect((await cluster.ask("PUT", "/since", { body: "other" })).status).toBe(503); // It may exist.
  await cluster.master.stop();
  const { output } = await verify("-repair", "-orphans");
  expect(output).toContain("run rebuild");
  const { stdout, stderr } = await runMkv(["-db", cluster.db, "export"]);
  expect(stderr).toEndWith(
    "mkv: the index may lack what was acknowledged, and so may this backup: run rebuild, then export again\n",
  );
  writeFileSync(file("lacking"), stdout);
  const lacking = await imported("lacking", { db: file("as-lacking"), flags: ["-latest"] });
  expect([lacking.exitCode, lacking.stderr]).toEqual([
    0,
    expect.stringContaining("as-lacking was imported from a backup of"),
  ]);
  expect(cluster.filesOf(pathOf("/since")).length).toBe(3);
  expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
  await cluster.startMaster();
  expect((await follow(await cluster.ask("GET", "/since"))).text).toBe("later");
  expect([(await cluster.ask("GET", "/key-1")).status, await cluster.keys("unlinked")]).toEqual([404, unlinked]);
});

test("of the latest backup what waits for a volume is taken over, and removed when that is back", async () => {
  const volume = cluster.volumes[0]!;
  await volume.kill();
  expect((await cluster.ask("DELETE", "/key-2")).status).toBe(204);
  await cluster.master.stop();
  await exported("latest", ["-db", cluster.db]);
  loseIndex();
  expect((await imported("latest", { flags: ["-latest"] })).stderr).toBe("");
  expect(cluster.filesOf(pathOf("/key-2")).length).toBe(1);
  await volume.restart();
  await cluster.startMaster();
  await until(() => cluster.filesOf(pathOf("/key-2")).length === 0, { what: "what was owed is removed" });
  await cluster.recovered();
});

test("that a master was killed is known to the next one, also after an export", async () => {
  let isClosed: unknown;
  const look = () => changeRemembered(cluster.db, "index", (value) => (({ isClosed } = value as never), value));
  await cluster.master.stop();
  await look();
  expect(isClosed).toBe(true);
  await cluster.startMaster();
  await cluster.master.kill();
  await exported("of-killed", ["-db", cluster.db]);
  await look();
  expect(isClosed).toBe(false);
  await cluster.startMaster();
});

test("over keys, of nonsense or of half a backup: exit code 1, one line, and nothing has changed", async () => {
  await cluster.master.stop();
  const text = await exported("whole", ["-db", cluster.db]);
  writeFileSync(file("half"), text.slice(0, text.length / 2));
  writeFileSync(file("nonsense"), "hello\n");
  writeFileSync(file("nothing"), "");
  const before = [await indexOf(cluster.db), readdirSync(dirname(cluster.db))];
  const fresh = file("fresh");
  for (const [name, db] of [
    ["whole", cluster.db],
    ["half", fresh],
    ["nonsense", fresh],
    ["nothing", fresh],
  ] as const) {
    const { exitCode, stdout, stderr } = await imported(name, { db });
    expect([name, exitCode, stdout, stderr]).toEqual([name, 1, "", expect.stringMatching(/^mkv: [^\n]+\n$/)]);
  }
  rmSync(file(`.${basename(fresh)}.mkv`), { recursive: true });
  expect([await indexOf(cluster.db), readdirSync(dirname(cluster.db))]).toEqual(before);
});

test("the backup of another store is refused where an index was lost", async () => {
  const [db, beside] = [file("another"), file(".another.mkv")];
  await cluster.master.stop();
  await exported("one", ["-db", cluster.db]);
  cpSync(file(".index.mkv"), beside, { recursive: true });
  await changeRemembered(db, "id ", () => crypto.randomUUID());
  const line = "mkv: the backup is of another store: it has none of the volumes that were here: name another -db, or";
  expect(await imported("one", { db })).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(line) });
  expect(existsSync(db)).toBe(false);
  rmSync(beside, { recursive: true });
  expect(await imported("one", { db })).toMatchObject({ exitCode: 0 });
});

test("an import that is killed in the middle leaves nothing that is served, and can be begun again", async () => {
  const db = file("killed");
  const command = mkv(["-db", db, "import"])
    .map((word) => `'${word}'`)
    .join(" ");
  const feed = `(head -c 2000 '${file("whole")}'; exec sleep 60) | ${command}`;
  await using running = new RunningProcess({ command: ["bash", "-c", feed] });
  await until(() => existsSync(swapPlace(db, "rebuild")), { what: "the import has begun" });
  running.signalAll("SIGKILL");
  await running.exited;
  expect(existsSync(db)).toBe(false);
  expect((await imported("whole", { db })).exitCode).toBe(0);
  expect(await indexOf(db)).toEqual(await indexOf(cluster.db));
});
