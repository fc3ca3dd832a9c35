// Owns the picture of a ledger over LevelDB: its index as it was at one moment, with what the journals owe.
// The journals are read after that moment. What was owed then and has been paid since, nobody owes; what is owed since does
// no harm: a volume that the record names is never touched on the strength of a debt.
import { type Known, type Picture } from "../ledger";
import { type LevelIndex } from "./leveldb";
import { readJournals } from "./read-journals";

/** All that is known of all keys, while others go on writing. */
export function pictureOf(path: string, index: LevelIndex): Picture {
  return { isConsistent: true, keys: known(path, index) };
}

async function* known(path: string, index: LevelIndex): AsyncGenerator<readonly Known[]> {
  let owing: Known[] | undefined;
  for await (const page of index.scan({})) {
    owing ??= owingIn(path);
    const keys: Known[] = [];
    for (const [key, record] of page) {
      while (owing.length > 0 && Buffer.compare(owing.at(-1)!.key, key) < 0) keys.push(owing.pop()!);
      const isOwing = owing.length > 0 && Buffer.compare(owing.at(-1)!.key, key) === 0;
      keys.push({ key, record, owed: isOwing ? owing.pop()!.owed : [] });
    }
    yield keys;
  }
  yield (owing ?? owingIn(path)).reverse();
}

/** The keys that owe something, the last one first, without their records. */
function owingIn(path: string): Known[] {
  const lasts = [...readJournals(path).lines.values()].map((ofKey) => ofKey.at(-1)!);
  const owing = lasts.filter(({ owed }) => owed.length > 0).map(({ key, owed }) => ({ key, record: undefined, owed }));
  return owing.sort((a, b) => Buffer.compare(b.key, a.key));
}
