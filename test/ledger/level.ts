// Owns the small LevelDBs that tests damage.
import { expect } from "bun:test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { inspectIndex } from "../../src/ledger/level/inspect";
import { temporaryFolder } from "../support/folder";

const SMALL = { writeBufferSize: 64 * 1024, maxFileSize: 1024 * 1024 };

/** Opens the LevelDB, works on it and closes it. */
export async function level(folder: string, work: (db: ClassicLevel) => Promise<unknown>) {
  const db = new ClassicLevel(folder, SMALL);
  await db.open();
  await work(db);
  await db.close();
}

export async function fill(db: ClassicLevel) {
  for (let i = 0; i < 1000; i++) await db.put(`key-${i}`, "v".repeat(500));
}

/** The names in a folder that match, in order. */
export function named(folder: string, pattern: RegExp) {
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort();
}

/** A folder with a healthy LevelDB in it, all of it in tables, and the names of its files. */
export async function healthy() {
  const at = temporaryFolder();
  const folder = join(at.path, "indexdb");
  await level(folder, (db) => fill(db).then(() => db.compactRange("", "")));
  const current = readFileSync(join(folder, "CURRENT"), "utf8").trim();
  const file = (name: string) => join(folder, name);
  const tables = named(folder, /\.ldb$/);
  const log = named(folder, /\.log$/)[0]!;
  expect(tables.length).toBeGreaterThan(2);
  return { folder, file, current, tables, log, [Symbol.asyncDispose]: () => at[Symbol.asyncDispose]() };
}

export function whyOf(folder: string): string {
  const state = inspectIndex(folder);
  return state.kind === "damaged" ? state.why : state.kind;
}
