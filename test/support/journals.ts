// Owns the view of the journals beside an index, from outside: what is unfinished.
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { until } from "./until";

/** The names of the journals beside this index. */
export function journalsOf(db: string): string[] {
  const begin = `${basename(db)}.journal-`;
  return readdirSync(dirname(db)).filter((name) => name.startsWith(begin) && /-\d+$/.test(name));
}

/** How many keys owe something. */
export function owing(db: string): number {
  return keysOwing(db).size;
}

/** Waits until nothing is owed any more. */
export async function settledOwing(db: string): Promise<void> {
  await until(() => owing(db) === 0, { what: "nothing is owed any more", deadlineMs: 20_000 });
}

/** The keys that owe something: a line of a journal is a debt, or the hex of a key whose debts in this journal are settled. */
export function keysOwing(db: string): Set<string> {
  const owed = new Set<string>();
  for (const name of journalsOf(db)) {
    const ofThis = new Set<string>();
    for (const line of readFileSync(join(dirname(db), name), "utf8")
      .split("\n")
      .slice(0, -1)) {
      const entry = JSON.parse(line) as string | { key: string };
      if (typeof entry === "string") ofThis.delete(entry);
      else ofThis.add(entry.key);
    }
    for (const hex of ofThis) owed.add(Buffer.from(hex, "hex").toString());
  }
  return owed;
}
