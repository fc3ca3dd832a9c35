// Owns what a row of the table says: the record of a key, what it owes, and whose it is.
//   record   as LevelDB holds it (format/record.ts); null: there is none
//   facts    what lies beside the record (ledger/facts.ts); null: nothing
//   owed     debts := kind " " since " " until " " volume     milliseconds from `written` on
//   version  another one with each write: whoever changes a row names the version that it saw
//   held     somebody is at work on it until `due`, and renews that; once it has passed, the claim is anybody's
//   due      when what is owed is to be looked at; null: nothing is
//   written  when the row was written; this and `due` are set and judged by the clock of the database alone
import { nowMs } from "../../clock";
import { type Key } from "../../format/key";
import { decodeRecord, readRecord } from "../../format/record";
import { entryOf } from "../facts";
import { type Debt, type Entry, debtKinds } from "../ledger";
import { warn } from "../../log";
import { type Row } from "./connection";
import { databaseMs } from "./lease";

export type Found = {
  readonly entry: Entry;
  /** What lies beside the record, as it is written down. */
  readonly facts: string | null;
  readonly version: string;
  readonly state: "free" | "held" | "lapsed";
};

export const foundColumns = `record, facts, owed, version, (extract(epoch from now() - written) * 1000)::float8,
  case when not held then 'free' when due > now() then 'held' else 'lapsed' end, ${databaseMs}`;

/** What was found. Throws MkvError corrupt if the record is damaged. */
export function foundIn(key: Key, [text, facts, owed, version, ageMs, state]: Row): Found {
  const record = text === null ? undefined : decodeRecord(text as string);
  return {
    entry: entryOf(key, record, { facts: facts as string | null, owed: debtsIn(owed, ageMs) }),
    facts: facts as string | null,
    version: version as string,
    state: state as Found["state"],
  };
}

/** Nobody's, and nothing is owed. */
export function isAtRest({ state, entry }: Found): boolean {
  return state === "free" && entry.owed.length === 0;
}

const writtenDebt = new RegExp(`^(${debtKinds.join("|")}) (-?\\d{1,12}) (-?\\d{1,12}) (.+)$`);

/** The debts in this column, of a row that was written so long ago: their times are those of this process. */
export function debtsIn(owed: unknown, ageMs: unknown): Debt[] {
  const writtenMs = nowMs() - Number(ageMs);
  return ((owed as string[] | null) ?? []).flatMap((text) => {
    const [, kind, since, until, volume] = writtenDebt.exec(text) ?? [];
    if (!readRecord(volume)) {
      warn(`the ledger holds a damaged debt, which is left out: ${JSON.stringify(text)}`);
      return [];
    }
    const [sinceMs, untilMs] = [writtenMs + Number(since), writtenMs + Number(until)];
    return [{ volume: volume!, kind: kind as Debt["kind"], sinceMs, untilMs }];
  });
}

/** Debts as the column holds them, if it is written now; null if there are none. */
export function owedColumn(owed: readonly Debt[]): string | null {
  if (owed.length === 0) return null;
  const now = nowMs();
  const ms = (atMs: number) => Math.ceil(Math.max(atMs - now, -longAgoMs));
  return textArray(owed.map(({ kind, sinceMs, untilMs, volume }) => `${kind} ${ms(sinceMs)} ${ms(untilMs)} ${volume}`));
}

/** What lies further back is not told apart. */
const longAgoMs = 365 * 24 * 3_600_000;

/** A value for a parameter `$n::text[]`. */
export function textArray(texts: readonly (string | null)[]): string {
  const quoted = (text: string) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
  return `{${texts.map((text) => (text === null ? "null" : quoted(text))).join(",")}}`;
}

/** A value for a parameter `$n::bytea[]`. */
export function bytesArray(items: readonly Uint8Array[]): string {
  return `{${items.map((bytes) => `"\\\\x${bytes.toHex()}"`).join(",")}}`;
}

/** A value for a parameter `$n::uuid[]` or `$n::int[]`. */
export function plainArray(items: readonly (string | number)[]): string {
  return `{${items.join(",")}}`;
}
