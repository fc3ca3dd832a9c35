// Owns the indexes that are made and read without a master.
import { rmSync } from "node:fs";
import { ClassicLevel } from "classic-level";
import { encodeRecord } from "../../src/format/record";
import { type Topology } from "../../src/format/placement";
import { type Placed, hex, keyOf, mix, placeOf } from "./shelf";

/** A key and its record as text. */
export type Entry = readonly [key: string, record: string];

const batchEntries = 2_000;
const level = {
  keyEncoding: "utf8",
  valueEncoding: "utf8",
  writeBufferSize: 8 * 1024 * 1024,
  cacheSize: 32 * 1024 * 1024,
} as const;

/** Makes an index of these entries, in the place of one that is there. Keys that come in order are written faster. */
export async function writeIndex(folder: string, entries: Iterable<Entry>): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const db = new ClassicLevel<string, string>(folder, level);
  await db.open();
  let batch: { type: "put"; key: string; value: string }[] = [];
  for (const [key, value] of entries) {
    batch.push({ type: "put", key, value });
    if (batch.length < batchEntries) continue;
    await db.batch(batch);
    batch = [];
  }
  await db.batch(batch);
  await db.compactRange("", ""); // Flushes the memtable: no master is to start with work that is the bench's.
  await db.close();
}

/** The entries of an index that no master has open. */
export async function* readIndex(folder: string): AsyncGenerator<Entry[]> {
  const db = new ClassicLevel<string, string>(folder, level);
  await db.open();
  const iterator = db.iterator();
  try {
    for (;;) {
      const page = await iterator.nextv(batchEntries);
      if (page.length === 0) return;
      yield page;
    }
  } finally {
    await iterator.close();
    await db.close();
  }
}

/** The entries of the keys with these numbers, where they belong. */
export function* entriesOf(numbers: Iterable<number>, topology: Topology): Generator<Entry> {
  for (const number of numbers) {
    const key = keyOf(number);
    yield [key, recordOf(placeOf(key, topology), number)];
  }
}

/** The record of a live value. Its hash is no value's, but of that kind. */
export function recordOf({ volumes }: Pick<Placed, "volumes">, number: number): string {
  return encodeRecord({ state: "live", md5: hashOf(number), volumes });
}

/** A record of a key that nobody will ask for: as long and as random as any, at a fraction of the cost. */
export function fillerOf(number: number, volumes: readonly string[]): string {
  const bits = mix(number + 1);
  const named = volumes.map((volume, i) => `${volume}/sv0${(bits >>> (4 * i)) % 10}`);
  return `HASH${hashOf(number)}${named.join(",")}`;
}

function hashOf(number: number): string {
  return hex(mix(number)) + hex(mix(number + 1)) + hex(mix(number + 2)) + hex(mix(number + 3));
}
