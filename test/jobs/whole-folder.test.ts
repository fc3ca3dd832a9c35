// All that lies on the master's disk is put back as it was: index, journals, and what is remembered beside them; or the index
// alone, where nothing is remembered. Only the volumes can tell.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { copyFolder, temporaryFolder } from "../support/folder";
import { follow } from "../support/http";
import { until, within } from "../support/until";
import { runJob } from "./job";

setDefaultTimeout(60_000);

const warning = "may lack what was acknowledged last (it is an older copy)";

/** Puts the copy of the folder in the place of what is there; the master must have ended. */
function putBack({ db }: Cluster, copy: string): void {
  const folder = dirname(db);
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  cpSync(copy, folder, { recursive: true });
}

async function textOf(cluster: Cluster, key: string): Promise<string> {
  return (await follow(await cluster.ask("GET", key))).text;
}

test.concurrent.each([
  ["a master that was stopped", "stop"],
  ["one that was killed", "kill"],
] as const)(
  "a copy of the master's folder, of %s, is known as older by what the volumes have noted",
  async (_, end) => {
    await using cluster = await startCluster({ flags: ["-threads", "2"] });
    await using copy = temporaryFolder();
    await cluster.store("/kept");
    await cluster.store("/changed", "first");
    if (end === "stop") await cluster.master.stop();
    copyFolder(dirname(cluster.db), copy.path);
    if (end === "kill") await cluster.master.kill();
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain(warning);
    await cluster.store("/new", "acknowledged");
    expect((await cluster.ask("DELETE", "/changed")).status).toBe(204);
    await cluster.store("/changed", "second");
    await cluster.master[end]();
    putBack(cluster, copy.path);

    await cluster.startMaster();
    expect(cluster.master.output).toContain(warning);
    expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
    expect(await textOf(cluster, "/kept")).toBe("value of /kept");
    await cluster.master[end]();
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    for (let i = 0; i < 2; i++) {
      await cluster.startMaster();
      expect(cluster.master.output).not.toContain(warning);
      for (const [key, text] of [
        ["/new", "acknowledged"],
        ["/changed", "second"],
        ["/kept", "value of /kept"],
      ] as const)
        expect([key, await textOf(cluster, key)]).toEqual([key, text]);
    }
  },
);

test.concurrent(
  "so is a copy of the index alone, where nothing is remembered of it; the latest one is not",
  async () => {
    await using cluster = await startCluster();
    await using copy = temporaryFolder();
    const alone = join(copy.path, "index");
    const putBackAlone = () => {
      for (const name of readdirSync(dirname(cluster.db))) rmSync(join(dirname(cluster.db), name), { recursive: true });
      cpSync(alone, cluster.db, { recursive: true });
    };
    await cluster.store("/kept");
    await cluster.master.stop();
    cpSync(cluster.db, alone, { recursive: true });
    putBackAlone();
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain(warning);
    await cluster.store("/new", "acknowledged");
    await cluster.master.stop();
    putBackAlone();
    for (let i = 0; i < 2; i++) {
      await cluster.startMaster();
      expect(cluster.master.output.includes(warning)).toBe(i === 0);
      expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
      await cluster.master.kill();
    }
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    await cluster.startMaster();
    expect(await textOf(cluster, "/new")).toBe("acknowledged");
  },
);

test.concurrent.each(["as it was", "whose EPOCH is lost"])(
  "rebuilt at once, a copy of the whole folder %s hides and removes nothing that was written since",
  async (how) => {
    await using cluster = await startCluster();
    await using copy = temporaryFolder();
    for (const key of ["/gone", "/soft", "/owed"]) await cluster.store(key, "once");
    expect((await cluster.ask("UNLINK", "/soft")).status).toBe(204);
    await cluster.volumes[0]!.stop();
    expect((await cluster.ask("DELETE", "/owed")).status).toBe(204);
    await cluster.master.kill();
    copyFolder(dirname(cluster.db), copy.path);
    await cluster.volumes[0]!.start();
    await cluster.startMaster();
    const again = async () => (await cluster.ask("PUT", "/owed", { body: "again" })).status === 201;
    await until(again, { what: "the volume is written to again" });
    expect((await cluster.ask("DELETE", "/gone")).status).toBe(204); // Sooner, its file there would be owed.
    await cluster.store("/soft", "twice");
    await cluster.store("/new", "acknowledged");
    await cluster.master.stop();
    putBack(cluster, copy.path);
    if (how === "whose EPOCH is lost") {
      writeFileSync(join(cluster.db, "EPOCH"), new Uint8Array(38));
      const { exitCode, output } = await runJob(cluster, "rebalance");
      expect([exitCode, output]).toEqual([1, expect.stringContaining("EPOCH does not say")]);
    }
    expect((await runJob(cluster, "rebuild")).last).toContain(": 3 keys in 9 files; 0 files reported");
    await cluster.startMaster();
    expect(await cluster.keys("list")).toEqual(["/new", "/owed", "/soft"]);
    expect(copiesOf(cluster, "/owed")).toEqual(copiesOn(homeOf(cluster, "/owed"), "again"));
    expect(await textOf(cluster, "/soft")).toBe("twice");
  },
);

test.concurrent(
  "a volume that has seen the store further, and answers late, ends the master; the next one knows",
  async () => {
    await using cluster = await startCluster({ volumes: 4 });
    await cluster.store("/kept");
    const late = cluster.volumes[3]!;
    await late.stop();
    const file = join(late.dir, "mkv", "epoch");
    writeFileSync(file, readFileSync(file, "utf8").replace(/ \d+/, " 1000"));
    await cluster.startMaster();
    const { process } = cluster.master;
    await late.start();
    expect(await within(process.exited, { what: "the master ends", deadlineMs: 20_000 })).toBe(1);
    expect(process.stderr).toContain("the index is older than the volumes");
    await late.stop();
    await cluster.startMaster();
    expect(cluster.master.output).toContain(warning);
    await late.start();
  },
);

test.concurrent("a master over an old copy ends when it meets the one that serves, which goes on", async () => {
  await using cluster = await startCluster();
  await using copy = temporaryFolder();
  await cluster.master.stop();
  copyFolder(dirname(cluster.db), copy.path);
  await cluster.startMaster();
  await cluster.store("/new");
  await using old = await cluster.anotherMaster([], { db: join(copy.path, basename(cluster.db)) });
  expect(old.output).toContain(warning);
  const met = async () => {
    await cluster.store(`/more-${crypto.randomUUID()}`);
    await cluster.volumes[0]!.restart(); // Both look at their volumes at once.
    return old.process.ended;
  };
  await until(met, { what: "the old one ends", deadlineMs: 40_000 });
  expect(cluster.master.process.ended).toBe(false);
  expect((await cluster.ask("GET", "/new")).status).toBe(302);
});

test.concurrent(
  "of two masters over indexes of their own, started on the same empty volumes, one ends soon",
  async () => {
    await using cluster = await startCluster();
    await using elsewhere = temporaryFolder();
    await using second = await cluster.anotherMaster([], { db: join(elsewhere.path, "index") });
    const { process } = cluster.master;
    expect(await within(process.exited, { what: "the first one ends", deadlineMs: 20_000 })).toBe(1);
    expect(process.stderr).toContain("the index is older than the volumes");
    expect(second.process.ended).toBe(false);
  },
);

test.concurrent("volumes of another store, or without a note, say nothing; each start is noted on all", async () => {
  await using cluster = await startCluster();
  const files = cluster.volumes.map(({ dir }) => join(dir, "mkv", "epoch"));
  const before = files.map((file) => readFileSync(file, "utf8"));
  expect(new Set(before).size).toBe(1);
  await cluster.master.stop();
  rmSync(files[0]!);
  writeFileSync(files[1]!, `${crypto.randomUUID()} 99\n`);
  await cluster.startMaster();
  expect(cluster.master.output).not.toContain(warning);
  const [store, count] = before[0]!.trimEnd().split(" ") as [string, string];
  expect(files.map((file) => existsSync(file) && readFileSync(file, "utf8"))).toEqual(
    Array(3).fill(`${store} ${Number(count) + 1}\n`),
  );
});

test.concurrent("an index that was moved alone: one line says what to bring along", async () => {
  const flags = ["-replicas", "1"];
  await using cluster = await startCluster({ volumes: 1, flags });
  await using moved = temporaryFolder();
  const [db, from] = [join(moved.path, "index"), dirname(cluster.db)];
  await cluster.store("/kept");
  await cluster.master.kill();
  renameSync(cluster.db, db);
  const start = async () => {
    await using master = await cluster.anotherMaster(flags, { db });
    return master.output;
  };
  const line = `${db} was moved or copied without what lay beside it: unless you moved that away, stop this, put .index.mkv, .index.facts, index.journal-* beside it`;
  expect(await start()).toContain(line);
  for (const name of readdirSync(moved.path)) if (name !== "index") rmSync(join(moved.path, name), { recursive: true });
  expect((await runJob(cluster, "rebuild", { db, flags })).stderr).toContain(line);
  for (const name of readdirSync(moved.path)) if (name !== "index") rmSync(join(moved.path, name), { recursive: true });
  for (const name of readdirSync(from)) cpSync(join(from, name), join(moved.path, name), { recursive: true });
  expect(await start()).not.toContain("was moved or copied");
});
