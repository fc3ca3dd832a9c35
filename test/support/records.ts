// Owns the view of an index from behind the master's back, which must have ended: LevelDB has one owner at a time.
import { ClassicLevel } from "classic-level";

export interface IndexRecord {
  key: Buffer;
  value: string;
}

/** All records of the index, in its order. */
export async function recordsIn(db: string): Promise<IndexRecord[]> {
  const level = new ClassicLevel<Buffer, Buffer>(db, {
    createIfMissing: false,
    keyEncoding: "buffer",
    valueEncoding: "buffer",
  });
  await level.open();
  try {
    const entries = await level.iterator().all();
    return entries.map(([key, value]) => ({ key, value: value.toString("latin1") }));
  } finally {
    await level.close();
  }
}

/** Writes records as they are, in batches. */
export async function writeRecords(db: string, records: Iterable<[key: string, value: string]>): Promise<void> {
  const level = new ClassicLevel<string, string>(db, { keyEncoding: "utf8", valueEncoding: "utf8" });
  await level.open();
  try {
    let batch: { type: "put"; key: string; value: string }[] = [];
    for (const [key, value] of records) {
      batch.push({ type: "put", key, value });
      if (batch.length === 10_000) await level.batch(batch.splice(0));
    }
    await level.batch(batch);
  } finally {
    await level.close();
  }
}

/** The record of one key, undefined if there is none. */
export async function recordOf(db: string, key: string | Uint8Array): Promise<string | undefined> {
  const wanted = Buffer.from(key as string);
  return (await recordsIn(db)).find((record) => record.key.equals(wanted))?.value;
}
