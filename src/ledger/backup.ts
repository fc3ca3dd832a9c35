// Owns the text of a backup: all that a ledger knows, one JSON object a line, in UTF-8. `read-backup.ts` reads it.
//   backup  := header (memory)* (key)* trailer
//   header  := {"mkv": "backup", "version": 1, "time": ISO 8601, "topology": {"volumes", "replicas", "subvolumes"} | null,
//               "consistent": boolean, "behind": boolean}
//   memory  := {"remembered": name, "value": anything}
//   key     := {"key": text, record?, "attributes"?: {name: text}, "forward"?: forward, "owed"?: owed}
//   record  := "state": "live" | "unlinked", "md5"?: hex, "volumes": [name, ...]
//            | "damaged": text                                   a record that cannot be read, as it is
//   forward := {record, "over"?: text, "bytes", "date", "attributes"}
//                                                               the value is being replaced by this one, if its record is `over`
//   owed    := {"in-flight" | "left-over" | "stray" | "staged": [volume, ...], ...}
//   trailer := {"end": "backup", "keys", "live", "unlinked", "damaged", "owing", "sha256": of all bytes before this line}
// A key is written as in lists (`showKey`): it may be any bytes. Keys come in the order of their bytes. `consistent`: the
// records are of one moment. `behind`: the ledger was known to lack something already.
import { showKey } from "../format/key";
import { type Topology } from "../format/placement";
import { readRecord } from "../format/record";
import { type Known, type Ledger, entriesOf } from "./ledger";

/** What a backup says of itself in its first line. */
export type BackupHeader = {
  /** Time of the wall at which it was begun: of the records, if they are of one moment. */
  readonly timeMs: number;
  readonly topology: Topology | undefined;
  readonly isConsistent: boolean;
  readonly isBehind: boolean;
};

/** Keys in all, and of each kind. `keys` counts what has a record, `owing` what unfinished work is known of. */
export type BackupCounts = Record<(typeof counted)[number], number>;

/** What is counted, as the trailer names it. */
export const counted = ["keys", "live", "unlinked", "damaged", "owing"] as const;

/** What the first line of a backup is known by, and the version that is written. */
export const backupMark = "backup";
export const backupVersion = 1;

export function noCounts(): BackupCounts {
  return { keys: 0, live: 0, unlinked: 0, damaged: 0, owing: 0 };
}

/**
 * The text of a backup, in pieces of bounded size.
 * @param options.names of what is remembered that goes with it: their beginnings
 * @throws MkvError failed, unavailable if the ledger cannot be read: what was written before has no trailer then
 */
export async function* backupOf(
  ledger: Ledger,
  options: { topology: Topology | undefined; names: readonly string[] },
): AsyncGenerator<Uint8Array> {
  const sum = new Bun.CryptoHasher("sha256");
  const counts = noCounts();
  const summed = (text: string): Uint8Array => {
    const piece = Buffer.from(text);
    sum.update(piece);
    return piece;
  };
  const { isConsistent, keys } = ledger.dump();
  await using pages = keys;
  const first = pages.next(); // Here, so that `time` is that of the records, however long what comes before them takes.
  first.catch(() => {}); // Its failure is told where it is waited for.
  yield summed(
    line({
      mkv: backupMark,
      version: backupVersion,
      time: new Date().toISOString(),
      topology: options.topology ?? null,
      consistent: isConsistent,
      behind: ledger.age !== "current",
    }),
  );
  for (const prefix of options.names)
    for await (const [name, value] of entriesOf(ledger.memory, prefix)) yield summed(line({ remembered: name, value }));
  for (let page = await first; !page.done; page = await pages.next())
    if (page.value.length > 0) yield summed(page.value.map((known) => line(fieldsOf(known, counts))).join(""));
  yield Buffer.from(line({ end: backupMark, ...counts, sha256: sum.digest("hex") }));
}

/** What the line of a key says, which is counted. */
export function fieldsOf({ key, record, owed, attributes, forward }: Known, counts: BackupCounts): object {
  const debts: Record<string, string[]> = {};
  for (const { volume, kind } of owed) (debts[kind] ??= []).push(volume);
  if (owed.length > 0) counts.owing++;
  return {
    key: showKey(key),
    ...(record !== undefined && recordFields(record, counts)),
    ...(attributes && { attributes }),
    ...(forward && { forward: { ...forward, record: undefined, ...forward.record } }),
    ...(owed.length > 0 && { owed: debts }),
  };
}

function recordFields(text: string, counts: BackupCounts): object {
  counts.keys++;
  const record = readRecord(text);
  counts[record?.state ?? "damaged"]++;
  return record ?? { damaged: text };
}

function line(fields: object): string {
  return `${JSON.stringify(fields)}\n`;
}
