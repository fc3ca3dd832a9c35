// A ledger out of a backup does not take the place of anything that is known, and holds nothing that no ledger could.
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backupOf } from "../../src/ledger/backup";
import { type Ledger } from "../../src/ledger/ledger";
import { textOf } from "../../src/ledger/level/journal";
import { draftLevel } from "../../src/ledger/level/next";
import { type Lack } from "../../src/ledger/next";
import { readBackup } from "../../src/ledger/read-backup";
import { temporaryFolder } from "../support/folder";
import { keyOf } from "./ledgers";

const lack: Lack = { why: "was imported", fromMs: 0, laterMs: undefined };
const key = keyOf("/key");
const line = textOf(key.toHex(), { key, n: 1, record: undefined, owed: [{ volume: "a:1", kind: "in-flight" }] });

async function makeEmpty(path: string, options: { lack: Lack | undefined }): Promise<void> {
  await using draft = await draftLevel(path, options);
  await draft.finish(new Map());
}

test("a draft is refused over a damaged index", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  mkdirSync(path);
  writeFileSync(join(path, "CURRENT"), "");
  await expect(draftLevel(path, { lack })).rejects.toThrow("is damaged (CURRENT does not name a MANIFEST)");
});

test("a draft is refused where no key is known, but unfinished work", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  await makeEmpty(path, { lack: undefined });
  writeFileSync(`${path}.journal-0`, line);
  await expect(draftLevel(path, { lack })).rejects.toThrow("index.journal-0 has unfinished work)");
});

test("the draft of the latest backup is refused where a journal knows of later work, that of an older one is not", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  writeFileSync(`${path}.journal-0`, line);
  await expect(draftLevel(path, { lack: undefined })).rejects.toThrow("later work than the backup: import without");
  await makeEmpty(path, { lack });
});

test("what comes after the last line of a backup is refused", async () => {
  const keys = (async function* () {
    yield [{ key, record: "a:1", owed: [] }];
  })();
  const ledger = { age: "current", dump: () => ({ isConsistent: true, keys }) } as unknown as Ledger;
  const chunks = (async function* () {
    yield* backupOf(ledger, { topology: undefined, names: [] });
    yield Buffer.from("{}\n");
  })();
  const read = readBackup(chunks, { header() {}, keys() {} });
  await expect(read).rejects.toThrow("line 4 of the backup comes after its last one");
});
