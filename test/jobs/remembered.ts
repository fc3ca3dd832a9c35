// Owns what mkv remembers beside its index, in a LevelDB, as a test wants it remembered. Nobody may hold the index meanwhile.
import { ClassicLevel } from "classic-level";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Has it that this file, `VOLUME/PATH` as records name volumes, which are up, was first seen as an orphan so long ago. */
export async function seenAsOrphan(db: string, file: string, hoursAgo: number): Promise<void> {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const sinceBootMs = Number(readFileSync("/proc/uptime", "utf8").split(" ", 1)[0]) * 1000;
  const { headers } = await fetch(`http://${file}`, { method: "HEAD" });
  const known = { bytes: Number(headers.get("content-length")), modified: headers.get("last-modified") };
  await using level = await openMemory(db);
  await level.put(`orphan ${file}`, JSON.stringify({ boot, atMs: sinceBootMs - hoursAgo * 3_600_000, ...known }));
}

/** Changes what is remembered under each name that begins like this; there is one at least. */
export async function changeRemembered(db: string, prefix: string, change: (value: unknown) => unknown): Promise<void> {
  await using level = await openMemory(db);
  const entries = (await level.iterator().all()).filter(([name]) => name.startsWith(prefix));
  if (entries.length === 0) throw new Error(`nothing is remembered under ${prefix}`);
  for (const [name, value] of entries) await level.put(name, JSON.stringify(change(JSON.parse(value))));
}

/** The names of what is remembered. */
export async function namesRemembered(db: string): Promise<string[]> {
  await using level = await openMemory(db);
  return await level.keys().all();
}

async function openMemory(db: string): Promise<ClassicLevel & AsyncDisposable> {
  const level = new ClassicLevel(join(dirname(db), `.${basename(db)}.mkv`), { createIfMissing: false });
  await level.open();
  return Object.assign(level, { [Symbol.asyncDispose]: () => level.close() });
}
