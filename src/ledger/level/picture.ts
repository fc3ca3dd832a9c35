// Owns the picture of a ledger over LevelDB: its index as it was at one moment, with what lies beside the records, and what the
// journals owe.
// 1. Both LevelDBs are looked at in the same turn of the loop, what lies beside the records first, as it is written first.
// 2. The journals are read after that. What was owed then and has been paid since, nobody owes; what is owed since does no
//    harm: a volume that the record names is never touched on the strength of a debt.
import { type Key } from "../../format/key";
import { limits } from "../../limits";
import { type Known, type RawEntry } from "../ledger";
import { besideOf } from "../facts";
import { type LevelIndex } from "./leveldb";
import { readJournals } from "./read-journals";

/** What a picture is made of. */
type Parts = { readonly path: string; readonly index: LevelIndex; readonly facts: LevelIndex };

/** All that is known of all keys, while others go on writing. */
export async function* knownKeys({ path, index, facts }: Parts): AsyncGenerator<readonly Known[]> {
  await using beside = new Ahead(facts.scan({}));
  await using records = new Ahead(index.scan({}));
  await Promise.all([beside.fill(), records.fill()]);
  const owing = owingIn(path);
  for (let keys: Known[] = []; ;) {
    const key = least(beside.key, records.key, owing.at(-1)?.key);
    if (!key || keys.length === limits.scanKeys) yield keys.splice(0);
    if (!key) return;
    const [record, factsText] = [records.take(key), beside.take(key)];
    const owed = isSame(owing.at(-1)?.key, key) ? owing.pop()!.owed : [];
    const known = { key, record, owed, ...besideOf(record, factsText) };
    if (record !== undefined || known.forward || owed.length > 0) keys.push(known);
    if (beside.isEmpty) await beside.fill();
    if (records.isEmpty) await records.fill();
  }
}

/** Entries of a scan, the next of which can be looked at. */
class Ahead implements AsyncDisposable {
  #page: readonly RawEntry[] = [];
  #at = 0;
  #isEnded = false;

  constructor(readonly pages: AsyncGenerator<readonly RawEntry[]>) {}

  /** The next key, if there is one. */
  get key(): Key | undefined {
    return this.#page[this.#at]?.[0];
  }

  /** Whether more has to be read before that is known. */
  get isEmpty(): boolean {
    return this.#at === this.#page.length && !this.#isEnded;
  }

  async fill(): Promise<void> {
    const { done, value } = await this.pages.next();
    this.#isEnded = done === true;
    this.#page = value ?? [];
    this.#at = 0;
  }

  /** The text of the next entry, and goes on, if it is of this key. */
  take(key: Key): string | undefined {
    return isSame(this.key, key) ? this.#page[this.#at++]![1] : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pages.return(undefined);
  }
}

/** The keys that owe something, the last one first. */
function owingIn(path: string): Pick<Known, "key" | "owed">[] {
  const lasts = [...readJournals(path).lines.values()].map((ofKey) => ofKey.at(-1)!);
  const owing = lasts.filter(({ owed }) => owed.length > 0).map(({ key, owed }) => ({ key, owed }));
  return owing.sort((a, b) => Buffer.compare(b.key, a.key));
}

function least(...keys: readonly (Key | undefined)[]): Key | undefined {
  let first: Key | undefined;
  for (const key of keys) if (key && (!first || Buffer.compare(key, first) < 0)) first = key;
  return first;
}

function isSame(a: Key | undefined, b: Key): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
