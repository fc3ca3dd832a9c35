// What LevelDB would open is told from what it would destroy, without asking LevelDB.
import { expect, test } from "bun:test";
import { cpSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClassicLevel } from "classic-level";
import { inspectIndex, inspectPlace } from "../../src/ledger/level/inspect";
import { temporaryFolder } from "../support/folder";
import { fill, healthy, level, named, whyOf } from "./level";

const KILLS = 24;
const FIXTURE = join(import.meta.dir, "../fixtures/go-cluster.tar.gz");

test("a folder that is missing, empty, or new to LevelDB holds no index", async () => {
  await using at = temporaryFolder();
  expect(inspectIndex(join(at.path, "missing"))).toEqual({ kind: "none" });
  expect(inspectIndex(at.path)).toEqual({ kind: "none" });
  for (const name of ["LOCK", "LOG", "LOG.old"]) writeFileSync(join(at.path, name), "");
  expect(inspectIndex(at.path)).toEqual({ kind: "none" });
  writeFileSync(join(at.path, "MANIFEST-000001"), "of a first start that was killed");
  expect(inspectIndex(at.path)).toEqual({ kind: "none" });
});

test("an index that was closed is whole, with the MANIFEST that is in force", async () => {
  await using at = await healthy();
  expect(inspectIndex(at.folder)).toMatchObject({
    kind: "whole",
    manifest: Number(at.current.slice("MANIFEST-".length)),
  });
});

test("the index of the Go program is whole", async () => {
  await using at = temporaryFolder();
  expect(Bun.spawnSync(["tar", "xzf", FIXTURE, "-C", at.path, "indexdb"]).exitCode).toBe(0);
  expect(inspectIndex(join(at.path, "indexdb"))).toMatchObject({ kind: "whole", manifest: 7 });
  rmSync(join(at.path, "indexdb/000006.log"));
  expect(whyOf(join(at.path, "indexdb"))).toBe("000006.log is missing");
});

test("files that a crash leaves, and tables with the older ending .sst, harm nothing", async () => {
  await using at = await healthy();
  for (const table of at.tables) renameSync(at.file(table), at.file(table.replace("ldb", "sst")));
  const left = ["009999.ldb", "009998.log", "MANIFEST-009997", "009997.dbtmp", "CURRENT.bak", "CURRENT.9997", "notes"];
  for (const name of left) writeFileSync(at.file(name), "");
  expect(whyOf(at.folder)).toBe("whole");
});

test("an index is whole at whatever moment its process is killed", async () => {
  await using at = temporaryFolder();
  const writer = join(import.meta.dir, "inspect.writer.ts");
  for (let kill = 0; kill < KILLS; kill++) {
    const folder = join(at.path, `index-${kill % 3 === 0 ? kill : "kept"}`);
    const child = Bun.spawn([process.execPath, writer, folder], { stdout: "pipe", stderr: "inherit" });
    const lines = kill % 3 === 2 ? 1 : Math.floor(Math.random() * 300);
    let said = "";
    for await (const chunk of child.stdout) {
      said += Buffer.from(chunk).toString();
      if (said.split("\n").length > lines) child.kill("SIGKILL");
    }
    await child.exited;
    const written = Number(/(\d+)\n[^\n]*$/.exec(said)?.[1] ?? 0);
    const state = whyOf(folder);
    if (written > 0 || state !== "none") expect(state).toBe("whole");
    await level(folder, async (db) => expect(Number((await db.get("number")) ?? 0)).toBeGreaterThanOrEqual(written));
  }
}, 120_000);

test("an index without CURRENT is damaged", async () => {
  await using at = await healthy();
  renameSync(at.file("CURRENT"), at.file("CURRENT.bak"));
  expect(whyOf(at.folder)).toBe("CURRENT is missing");
});

test.each(["", "MANIFEST-000002", "MANIFEST-\n", "../MANIFEST-000002\n", "MANIFEST-000002\n\0"])(
  "an index whose CURRENT is %j is damaged",
  async (text) => {
    await using at = await healthy();
    writeFileSync(at.file("CURRENT"), text);
    expect(whyOf(at.folder)).toBe("CURRENT does not name a MANIFEST");
  },
);

test("an index without its MANIFEST is damaged", async () => {
  await using at = await healthy();
  rmSync(at.file(at.current));
  expect(whyOf(at.folder)).toBe(`${at.current}, which CURRENT names, is missing`);
});

test("an index that lacks a table, or the end of one, or has more of it, is damaged", async () => {
  await using at = await healthy();
  const [first, second] = [at.tables[0]!, at.tables[1]!];
  const { size } = statSync(at.file(second));
  truncateSync(at.file(second), size - 1);
  expect(whyOf(at.folder)).toBe(`${second} has ${size - 1} bytes, not ${size}`);
  writeFileSync(at.file(second), new Uint8Array(size + 1));
  expect(whyOf(at.folder)).toBe(`${second} has ${size + 1} bytes, not ${size}`);
  rmSync(at.file(first));
  expect(whyOf(at.folder)).toBe(`${first} is missing`);
});

test("an index without the log that its MANIFEST names is damaged", async () => {
  await using at = await healthy();
  rmSync(at.file(at.log));
  expect(whyOf(at.folder)).toBe(`${at.log} is missing`);
});

test.each(["", "0", "6e0f7c1e-5b0f-4e0e-8f43-5f1d3a8c1a11 \n", "\0".repeat(38)])(
  "an index whose EPOCH is %j is damaged",
  async (text) => {
    await using at = await healthy();
    writeFileSync(at.file("EPOCH"), text);
    expect(whyOf(at.folder)).toBe("EPOCH does not say how far the store had come");
  },
);

test("what is left of an index is damaged, also if EPOCH is all of it", async () => {
  await using at = temporaryFolder();
  writeFileSync(join(at.path, "EPOCH"), "6e0f7c1e-5b0f-4e0e-8f43-5f1d3a8c1a11 7\n");
  expect(whyOf(at.path)).toBe("CURRENT is missing");
});

test("tables under the MANIFEST of a new index are not given up", async () => {
  await using at = await healthy();
  await using empty = temporaryFolder();
  await level(empty.path, async () => {});
  for (const name of named(at.folder, /^(CURRENT|MANIFEST.*|.*\.log)$/)) rmSync(at.file(name));
  renameSync(at.file(at.tables[0]!), at.file("000002.ldb")); // Also one that it may seem to have counted.
  cpSync(empty.path, at.folder, { recursive: true });
  expect(whyOf(at.folder)).toBe(`its MANIFEST is of another or an older index: it does not know 000002.ldb`);
});

test("tables under an older MANIFEST, of when there was none, are not given up", async () => {
  await using at = temporaryFolder();
  await using copy = temporaryFolder();
  await level(at.path, emptyAgain);
  cpSync(at.path, copy.path, { recursive: true });
  expect(whyOf(at.path)).toBe("whole");
  await level(at.path, fill);
  for (const name of named(at.path, /^(CURRENT|MANIFEST.*|.*\.log)$/)) rmSync(join(at.path, name));
  cpSync(copy.path, at.path, { recursive: true });
  writeFileSync(join(at.path, "000001.log"), "of before that MANIFEST");
  expect(whyOf(at.path)).toStartWith("its MANIFEST is of another or an older index: it does not know 0");
});

test("an index from which all was deleted is whole, though a kill left its tables there", async () => {
  await using at = temporaryFolder();
  await level(at.path, emptyAgain);
  expect(named(at.path, /\.ldb$/)).toEqual([]);
  writeFileSync(join(at.path, "000005.ldb"), "merged with the deletions into nothing");
  expect(whyOf(at.path)).toBe("whole");
});

test("a first flush that was killed is whole: its log is there", async () => {
  await using at = temporaryFolder();
  await level(at.path, (db) => db.put("key", "value"));
  writeFileSync(join(at.path, "000099.ldb"), "");
  expect(whyOf(at.path)).toBe("whole");
});

test("a file, and a folder of something else, are not taken for an index", async () => {
  await using at = temporaryFolder();
  writeFileSync(join(at.path, "notes.txt"), "");
  writeFileSync(join(at.path, "LOCK"), "");
  const isNone = `is not an index (it holds notes.txt): name another -db, or move it away`;
  expect(() => inspectPlace(at.path)).toThrow(isNone);
  expect(() => inspectPlace(join(at.path, "notes.txt"))).toThrow("is not an index (it is a file): name another -db");
});

test("an index that cannot be looked at is not called whole", async () => {
  await using at = await healthy();
  renameSync(at.file("CURRENT"), at.file("aside"));
  cpSync(join(import.meta.dir), at.file("CURRENT"), { recursive: true });
  expect(whyOf(at.folder)).toStartWith("it cannot be read: EISDIR");
});

/** Writes, deletes all of it, and merges until no table is left. */
async function emptyAgain(db: ClassicLevel) {
  await fill(db);
  await db.clear();
  for (let i = 0; i < 8; i++) await db.compactRange("", "z");
}
