// Owns what a master remembers of orphans, from behind its back: it must have ended, since LevelDB has one owner at a time.
import { basename, dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { type Cluster } from "./cluster";

const PREFIX = "orphan ";

/** Makes every orphan that is remembered beside this index so much older; returns how many there are. */
export async function ageOrphans(db: string, minutes: number): Promise<number> {
  const level = new ClassicLevel(join(dirname(db), `.${basename(db)}.mkv`), { createIfMissing: false });
  await level.open();
  try {
    const entries = await level.iterator({ gte: PREFIX, lt: `${PREFIX}~` }).all();
    for (const [name, text] of entries) {
      const known = JSON.parse(text);
      await level.put(name, JSON.stringify({ ...known, atMs: known.atMs - minutes * 60_000 }));
    }
    return entries.length;
  } finally {
    await level.close();
  }
}

/** Starts a master again, for which so much time has passed over the orphans that it knew. */
export async function passTime(cluster: Cluster, minutes: number): Promise<void> {
  await cluster.master.stop();
  if ((await ageOrphans(cluster.db, minutes)) === 0) throw new Error("no orphan is known");
  await cluster.startMaster();
}
