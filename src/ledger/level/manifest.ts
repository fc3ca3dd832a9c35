// Owns the reading of a MANIFEST, in which LevelDB and goleveldb write down which files are the index.
//   manifest := block*                                                          of 32 KiB, the last one shorter
//   block    := (masked crc32c (4), length (2), kind (1), bytes)* zeros         a record is FULL or FIRST MIDDLE* LAST
//   record   := (tag, what belongs to it)*                                      numbers are varints
// 1. It is read as LevelDB reads it (log_reader.cc, version_edit.cc): what that refuses is refused here.
// 2. A record that a crash tore at the very end was never relied on, and is left out.
// 3. It tells whether an index is the one that is remembered, as it went on, or another one in its place: a number is given to
//    one file, and a table is written once. One whose number was given out by then was there already, and as long as it is now.
import { MkvError } from "../../errors";
import { limits } from "../../limits";

/** What a MANIFEST says of an index. Numbers are those of files. */
export type Manifest = {
  /** The tables that are the index, with their lengths in bytes. */
  readonly tables: ReadonlyMap<number, number>;
  /** The oldest log that is needed; 0 in an index that was never opened again. */
  readonly log: number;
  /** A still older one, or 0. */
  readonly previousLog: number;
  /** No file that this MANIFEST has ever known has this number or a higher one. */
  readonly nextFile: number;
  /** How many changes there were; 0 if nothing was ever written. */
  readonly lastSequence: number;
};

const COMPARATOR = "leveldb.BytewiseComparator";
const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4];

/**
 * What these bytes of a MANIFEST say.
 * @throws MkvError corrupt: damaged, or not of an index that LevelDB could open here
 */
export function readManifest(bytes: Uint8Array): Manifest {
  const numbers = new Map<number, number>();
  const live = new Map<string, readonly [table: number, bytes: number]>();
  for (const record of recordsOf(bytes)) applyEdit(new Cursor(record), numbers, live);
  const required = (tag: number, what: string) => numbers.get(tag) ?? refuse(`it does not say ${what}`);
  return {
    tables: new Map(live.values()),
    log: required(2, "which log is needed"),
    previousLog: numbers.get(9) ?? 0,
    nextFile: required(3, "which number is free"),
    lastSequence: required(4, "how much was written"),
  };
}

/** The files of an index at one time: the youngest tables, with their lengths in bytes, and the first number that was free. */
export type Lineage = {
  readonly nextFile: number;
  readonly tables: readonly (readonly [number: number, bytes: number])[];
};

export function lineageOf({ nextFile, tables }: Manifest): Lineage {
  const youngest = [...tables].toSorted(([a], [b]) => b - a).slice(0, limits.tablesRemembered);
  return { nextFile, tables: youngest };
}

/** Whether these may be the files of that index at a later time, whatever was written and merged meanwhile. */
export function isOfLine({ tables }: Manifest, { nextFile, tables: youngest }: Lineage): boolean {
  const known = new Map(youngest);
  const forgottenBelow = youngest.length < limits.tablesRemembered ? 0 : youngest.at(-1)![0];
  const isOurs = (number: number, bytes: number) =>
    number >= nextFile || number < forgottenBelow || known.get(number) === bytes;
  return tables.entries().every(([number, bytes]) => isOurs(number, bytes));
}

/** Adds what one record changes: the last one of each number counts. */
function applyEdit(edit: Cursor, numbers: Map<number, number>, live: Map<string, readonly [number, number]>): void {
  while (!edit.done) {
    const tag = edit.number();
    if (tag === 1) {
      const comparator = Buffer.from(edit.bytes()).toString();
      if (comparator !== COMPARATOR) refuse(`its keys are in the order of ${comparator}, not of ${COMPARATOR}`);
    } else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) numbers.set(tag, edit.number());
    else if (tag === 5) void [edit.number(), edit.bytes()];
    else if (tag === 6) live.delete(`${edit.number()}/${edit.number()}`);
    else if (tag === 7) {
      const [level, table, length] = [edit.number(), edit.number(), edit.number()];
      live.set(`${level}/${table}`, [table, length]);
      void [edit.bytes(), edit.bytes()]; // Its smallest key and its largest.
    } else refuse(`it has an entry of the unknown kind ${tag}`);
  }
}

function* recordsOf(bytes: Uint8Array): Generator<Uint8Array> {
  let parts: Uint8Array[] | undefined;
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    for (const [kind, part] of partsOf(bytes.subarray(at, at + BLOCK_BYTES))) {
      const isBegin = kind === FULL || kind === FIRST;
      if (!isBegin && kind !== MIDDLE && kind !== LAST) refuse(`it has a record of the unknown kind ${kind}`);
      if (isBegin ? parts?.some(({ length }) => length > 0) : !parts) refuse("a part of a record is missing");
      parts = isBegin ? [part] : [...parts!.splice(0), part];
      if (kind === FIRST || kind === MIDDLE) continue;
      yield Buffer.concat(parts);
      parts = undefined;
    }
  }
}

function* partsOf(block: Uint8Array): Generator<readonly [kind: number, part: Uint8Array]> {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  for (let at = 0; at + HEADER_BYTES <= block.length;) {
    const length = view.getUint16(at + 4, true);
    const kind = view.getUint8(at + 6);
    const end = at + HEADER_BYTES + length;
    if (end > block.length && block.length < BLOCK_BYTES) return; // Torn at the end.
    if (end > block.length) refuse("the length of a record is wrong");
    if (kind === 0 && length === 0) return; // The file was made longer before it was written to.
    if (view.getUint32(at, true) !== maskedCrc(block.subarray(at + 6, end))) refuse("a checksum is wrong");
    yield [kind, block.subarray(at + HEADER_BYTES, end)];
    at = end;
  }
}

class Cursor {
  #at = 0;

  constructor(readonly record: Uint8Array) {}

  get done(): boolean {
    return this.#at === this.record.length;
  }

  number(): number {
    let value = 0;
    for (let unit = 1; unit < 2 ** 64; unit *= 128) {
      const byte = this.record[this.#at++] ?? refuse("a record is too short");
      value += (byte % 128) * unit;
      if (byte < 128) return value;
    }
    return refuse("a number is too long");
  }

  bytes(): Uint8Array {
    const length = this.number();
    if (this.#at + length > this.record.length) refuse("a record is too short");
    return this.record.subarray(this.#at, (this.#at += length));
  }
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** The CRC-32C of these bytes, masked as LevelDB does (crc32c.h). */
function maskedCrc(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255]! ^ (crc >>> 8);
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function refuse(why: string): never {
  throw new MkvError("corrupt", why);
}
