// Whoever holds the index holds it alone, and what is remembered beside it survives.
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setEpoch } from "../../src/ledger/level/durable";
import { openLevelIndex } from "../../src/ledger/level/leveldb";
import { type LevelMemory, memoryOf, joinMemory, openMemory } from "../../src/ledger/level/memory";
import { entriesOf } from "../../src/ledger/ledger";
import { type Folder, temporaryFolder } from "../support/folder";

const HOLDER = join(import.meta.dir, "memory.holder.ts");

/** A process that opens what lies beside the index; `said` is what it answers. */
async function holder(index: string) {
  const child = Bun.spawn([process.execPath, HOLDER, index], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return {
    said: Buffer.from(value ?? [])
      .toString()
      .trim(),
    pid: child.pid,
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function allOf(memory: LevelMemory, prefix: string) {
  return Object.fromEntries(await Array.fromAsync(entriesOf(memory, prefix)));
}

const indexIn = (at: Folder) => join(at.path, "indexdb");
const inUse = (index: string) => `the index ${index} is in use by another process: stop that one first`;

test("what is put is there after the next start, what is deleted is not", async () => {
  await using at = temporaryFolder();
  const values = { object: { a: [1, "ü"] }, zero: 0, nothing: null, no: false, text: "" };
  {
    await using memory = await openMemory(indexIn(at));
    for (const [name, value] of Object.entries(values)) await memory.put(name, value);
    await memory.put("deleted", 1);
    await memory.delete("deleted");
    expect(memory.get("object")).toEqual(values.object);
  }
  await using memory = await openMemory(indexIn(at));
  for (const [name, value] of Object.entries(values)) expect(memory.get(name)).toEqual(value);
  expect(memory.get("deleted")).toBeUndefined();
  expect(memory.get("missing")).toBeUndefined();
});

test("the entries of a prefix are listed in order, and no others", async () => {
  await using at = temporaryFolder();
  await using memory = await openMemory(indexIn(at));
  for (const name of ["volume/b", "volum", "volume/a", "volume0", "volume/ü"]) await memory.put(name, { name });
  const listed = await allOf(memory, "volume/");
  expect(Object.keys(listed)).toEqual(["volume/a", "volume/b", "volume/ü"]);
  expect(listed["volume/b"]).toEqual({ name: "volume/b" });
});

test("the names of a prefix are read in pages, by who has opened it and by who has joined", async () => {
  await using at = temporaryFolder();
  await using opened = await openMemory(indexIn(at));
  for (const name of ["volume/b", "volum", "volume/a", "volume0", "volume/c"]) await opened.put(name, { name });
  await using joined = await joinMemory(indexIn(at));
  for (const memory of [opened, joined]) {
    const first = await memory.page("volume/", { atMost: 2 });
    expect(first).toEqual(["volume/a", "volume/b"].map((name) => [name, { name }]));
    const second = await memory.page("volume/", { after: "volume/b", atMost: 2 });
    expect(second).toEqual([["volume/c", { name: "volume/c" }]]);
    expect(await memory.page("volume/", { after: "volume/c", atMost: 2 })).toEqual([]);
  }
});

test("of changes to one name that are not waited for the last one holds", async () => {
  await using at = temporaryFolder();
  await using memory = await openMemory(indexIn(at));
  const changes = Array.from({ length: 200 }, (_, i) => (i % 2 ? memory.delete("name") : memory.put("name", i)));
  await Promise.all([...changes, memory.put("name", "last")]);
  expect(memory.get("name")).toBe("last");
});

test("a write that was asked for before closing is there afterwards", async () => {
  await using at = temporaryFolder();
  let asked: Promise<void>[];
  {
    await using memory = await openMemory(indexIn(at));
    asked = [memory.put("first", 1), Promise.resolve().then(() => memory.put("second", 2))];
  }
  await Promise.all(asked);
  await using again = await openMemory(indexIn(at));
  expect(await allOf(again, "")).toEqual({ first: 1, second: 2 });
});

test("its folder is hidden, lies beside the index, and is not made by asking for its name", async () => {
  await using at = temporaryFolder();
  expect(memoryOf(indexIn(at))).toBe(join(at.path, ".indexdb.mkv"));
  expect(memoryOf(`${indexIn(at)}/`)).toBe(join(at.path, ".indexdb.mkv"));
  expect(readdirSync(at.path)).toEqual([]);
  await using _ = await openMemory(indexIn(at));
  expect(readdirSync(at.path)).toEqual([".indexdb.mkv"]);
});

test("a second process is refused for as long as the first lives, and not an instant longer", async () => {
  await using at = temporaryFolder();
  await using first = await holder(indexIn(at));
  expect(first.said).toBe("held");
  await expect(openMemory(indexIn(at))).rejects.toThrow(inUse(indexIn(at)));
  await first.kill();
  await using memory = await openMemory(indexIn(at));
  expect(memory.get("holder")).toBe(first.pid);
});

test("a second opening in the same process is refused, and the lock stays with the first", async () => {
  await using at = temporaryFolder();
  symlinkSync(at.path, join(at.path, "link"));
  {
    await using _ = await openMemory(indexIn(at));
    for (const index of [indexIn(at), `${at.path}/./indexdb/`, join(at.path, "link/indexdb")])
      await expect(openMemory(index)).rejects.toThrow(inUse(index));
    await using other = await holder(indexIn(at)); // Closing any descriptor of the lock would have let it in.
    expect(other.said).toBe(inUse(indexIn(at)));
  }
  await using other = await holder(indexIn(at));
  expect(other.said).toBe("held");
});

test("the lock stays while the index is renamed", async () => {
  await using at = temporaryFolder();
  mkdirSync(indexIn(at));
  await using _ = await openMemory(indexIn(at));
  renameSync(indexIn(at), `${indexIn(at)}.old`);
  await using other = await holder(indexIn(at));
  expect(other.said).toBe(inUse(indexIn(at)));
});

test("one that another process is at work on is in use, however it looks", async () => {
  await using at = temporaryFolder();
  await using first = await holder(indexIn(at));
  expect(first.said).toBe("held");
  renameSync(join(memoryOf(indexIn(at)), "CURRENT"), join(memoryOf(indexIn(at)), "aside"));
  await expect(openMemory(indexIn(at))).rejects.toThrow(inUse(indexIn(at)));
});

test.each(["CURRENT", "MANIFEST-", ".log"])(
  "one that lacks its %s is neither opened nor removed: a person may move it away",
  async (part) => {
    await using at = temporaryFolder();
    const folder = memoryOf(indexIn(at));
    await (await openMemory(indexIn(at)))[Symbol.asyncDispose]();
    rmSync(
      join(
        folder,
        readdirSync(folder).find((name) => name.includes(part))!,
      ),
    );
    const files = () => readdirSync(folder).filter((name) => !name.startsWith("LOG"));
    const before = files();
    for (let attempt = 0; attempt < 2; attempt++) {
      const refused = (await openMemory(indexIn(at)).catch((error: unknown) => error)) as Error;
      expect(refused.message).toMatch(
        / is missing. It holds what mkv remembers of the volumes, and .* of S3: .* move it away /,
      );
      expect(refused.message).toStartWith(`${folder} cannot be opened: `);
    }
    expect(files()).toEqual(before);
    renameSync(folder, `${folder}.moved`);
    await using _ = await openMemory(indexIn(at));
  },
);

test("one that LevelDB refuses is told of by its name", async () => {
  await using at = temporaryFolder();
  const folder = memoryOf(indexIn(at));
  await (await openMemory(indexIn(at)))[Symbol.asyncDispose]();
  rmSync(join(folder, "LOCK"));
  mkdirSync(join(folder, "LOCK"));
  await expect(openMemory(indexIn(at))).rejects.toThrow(`${folder} cannot be opened: IO error`);
});

test("a folder above the index that is missing, or is none, is one clear line", async () => {
  await using at = temporaryFolder();
  writeFileSync(join(at.path, "file"), "");
  for (const above of ["missing", "file"].map((name) => join(at.path, name))) {
    const text = `the folder ${above} of the index cannot be written to: `;
    await expect(openMemory(join(above, "indexdb"))).rejects.toThrow(text);
  }
  expect(existsSync(join(at.path, "missing"))).toBe(false);
});

test("after a write that the disk refused no other is tried, and whoever opened it is told once", async () => {
  await using at = temporaryFolder();
  const limited = "trap '' XFSZ; ulimit -f 100; exec \"$@\""; // A file may not grow beyond so many blocks.
  const command = ["sh", "-c", limited, "sh", process.execPath, HOLDER, indexIn(at), "fill"];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  child.kill("SIGKILL");
  await child.exited;
  expect(Buffer.from(value ?? []).toString()).toStartWith("refused, told 1\n");
});

test("who joins where nobody has opened, and who notes how far a store has come where no index is, is told", async () => {
  await using at = temporaryFolder();
  await expect(joinMemory(indexIn(at))).rejects.toThrow(`${memoryOf(indexIn(at))} cannot be opened: `);
  const epoch = { store: crypto.randomUUID(), count: 1 };
  expect(() => setEpoch(indexIn(at), epoch)).toThrow(`${join(indexIn(at), "EPOCH")} cannot be written: ENOENT`);
});

test("an index that a tool of LevelDB's has open is in use", async () => {
  await using at = temporaryFolder();
  await using _tool = await holder(indexIn(at)); // What it opens is a LevelDB as any other.
  const folder = memoryOf(indexIn(at));
  await expect(openLevelIndex(folder)).rejects.toThrow(inUse(folder));
});
