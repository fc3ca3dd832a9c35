// Owns the dump of a ledger over LevelDB: its index as it was at one moment, with what lies beside the records, and what the
// journals owe.
// 1. Both LevelDBs are looked at in the same turn of the loop, what lies beside the records first, as it is written first.
// 2. The journals are read after that. What was owed then and has been paid since, nobody owes; what is owed since does no
//    harm: a volume that the record names is never touched on the strength of a debt.
import { Ahead } from "../../ahead";
import { type Key } from "../../format/key";
import { limits } from "../../limits";
import { type Known, type RawEntry } from "../ledger";
import { dumpOf } from "../facts";
import { type LevelIndex } from "./leveldb";
import { readJournals } from "./replay";

type Parts = { readonly path: string; readonly index: LevelIndex; readonly facts: LevelIndex };

/** All that is known of all keys, while others go on writing. */
export async function* knownKeys({ path, index, facts }: Parts): AsyncGenerator<readonly Known[]> {
  await using extras = new Ahead(facts.scan({}));
  await using records = new Ahead(index.scan({}));
  await Promise.all([extras.fill(), records.fill()]);
  const owing = owingIn(path);
  for (let keys: Known[] = []; ;) {
    const key = least(extras.next?.[0], records.next?.[0], owing.at(-1)?.key);
    if (!key || keys.length === limits.scanKeys) yield keys.splice(0);
    if (!key) return;
    const [record, factsText] = [textOf(records, key), textOf(extras, key)];
    const owed = isSame(owing.at(-1)?.key, key) ? owing.pop()!.owed : [];
    const known = dumpOf(key, record, { facts: factsText, owed });
    if (record !== undefined || known.forward || owed.length > 0) keys.push(known);
    if (extras.isDue) await extras.fill();
    if (records.isDue) await records.fill();
  }
}

/** The keys that owe something, the last one first. */
function owingIn(path: string): Pick<Known, "key" | "owed">[] {
  const owing = [...readJournals(path).lines.values()].filter(({ owed }) => owed.length > 0);
  return owing.sort((a, b) => Buffer.compare(b.key, a.key));
}

/** The text of this key, if it is the next; the one after it is the next then. */
function textOf(entries: Ahead<RawEntry>, key: Key): string | undefined {
  const [next, text] = entries.next ?? [];
  if (!isSame(next, key)) return undefined;
  entries.skip();
  return text;
}

function least(...keys: readonly (Key | undefined)[]): Key | undefined {
  let first: Key | undefined;
  for (const key of keys) if (key && (!first || Buffer.compare(key, first) < 0)) first = key;
  return first;
}

function isSame(a: Key | undefined, b: Key): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
