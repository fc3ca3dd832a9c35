// Owns the reading of a backup, whose text is that of `backup.ts`.
// 1. It is believed as a whole or not at all: what was read counts only when the trailer has come, and agrees.
// 2. The line of a key is taken if it says just what would be written of what was read.
import { MkvError } from "../errors";
import { keyOf } from "../format/key";
import { type ValueRecord, decodeRecord, encodeRecord } from "../format/record";
import { limits } from "../limits";
import { type BackupCounts, type BackupHeader, backupMark, backupVersion, counted, fieldsOf, noCounts } from "./backup";
import { isReadable } from "./facts";
import { type Attributes, type Forward, type Known, debtsByKind } from "./ledger";

/** Takes what a backup says, as it comes: first the header, then what is remembered, then the keys. */
type Taking = {
  header(header: BackupHeader): void | Promise<void>;
  remembered?(name: string, value: unknown): void;
  keys(keys: readonly Known[]): void | Promise<void>;
};

/**
 * Reads a backup to its end, and tells what it counts.
 * @throws MkvError failed for what is no backup, is cut short or was changed; it names the line; what `taking` throws
 */
export async function readBackup(chunks: AsyncIterable<Uint8Array>, taking: Taking): Promise<BackupCounts> {
  const reader = new Reader(taking);
  for await (const lines of linesOf(chunks)) {
    const keys: Known[] = [];
    for (const text of lines) {
      const known = await reader.take(text);
      if (known) keys.push(known);
    }
    if (keys.length > 0) await taking.keys(keys);
  }
  return reader.end();
}

class Reader {
  readonly #sum = new Bun.CryptoHasher("sha256");
  readonly #counts = noCounts();
  #number = 0;
  #state: "begin" | "memory" | "keys" | "end" = "begin";
  #last: Uint8Array | undefined;

  constructor(readonly taking: Taking) {}

  /** A line, with its end. Returns the key that it is of. */
  async take(bytes: Uint8Array): Promise<Known | undefined> {
    this.#number++;
    if (this.#state === "end") throw this.#wrong("comes after its last one");
    const fields = this.#parse(bytes);
    if (fields["end"] === backupMark && this.#state !== "begin") return this.#requireSame(fields);
    this.#sum.update(bytes);
    if (this.#state === "begin") return void (await this.taking.header(this.#header(fields)));
    if ("remembered" in fields && this.#state === "memory") return this.#memory(fields);
    this.#state = "keys";
    return this.#known(fields);
  }

  /** What was counted. Throws MkvError failed unless all has come. */
  end(): BackupCounts {
    if (this.#number === 0) throw new MkvError("failed", "nothing came in: give a backup, as in mkv import < FILE");
    if (this.#state === "end") return this.#counts;
    throw new MkvError("failed", `the backup is cut off after line ${this.#number}: take one that is whole`);
  }

  #parse(bytes: Uint8Array): Fields {
    try {
      const fields: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      if (isFields(fields)) return fields;
    } catch {
      // What is no JSON is no line of a backup.
    }
    if (this.#number === 1) throw noBackup();
    throw this.#wrong("is no JSON object: the backup was cut off, or changed");
  }

  #header(fields: Fields): BackupHeader {
    const { mkv, version, time, topology, consistent, behind } = fields;
    if (mkv !== backupMark) throw noBackup();
    if (version !== backupVersion)
      throw new MkvError(
        "failed",
        `the backup is of version ${version}, and this mkv reads ${backupVersion}: update it`,
      );
    const timeMs = typeof time === "string" ? Date.parse(time) : Number.NaN;
    if (Number.isNaN(timeMs) || typeof consistent !== "boolean" || typeof behind !== "boolean")
      throw this.#wrong("lacks what a first line says");
    this.#state = "memory";
    return {
      timeMs,
      topology: (topology as BackupHeader["topology"] | null) ?? undefined,
      isConsistent: consistent,
      isBehind: behind,
    };
  }

  #memory({ remembered, value, ...others }: Fields): undefined {
    if (typeof remembered !== "string" || value === undefined || Object.keys(others).length > 0) throw this.#unknown();
    this.taking.remembered?.(remembered, value);
  }

  #known(fields: Fields): Known {
    const known = knownIn(fields, this.#counts);
    if (!known) throw this.#unknown();
    const { key } = known;
    if (key.length > limits.keyBytes) throw this.#wrong(`has a key of ${key.length} bytes`);
    if (this.#last && Buffer.compare(this.#last, key) >= 0) throw this.#wrong("is out of order");
    this.#last = key;
    return known;
  }

  #requireSame(fields: Fields): undefined {
    this.#state = "end";
    const differs = counted.find((name) => fields[name] !== this.#counts[name]);
    if (differs) throw this.#wrong(`says ${fields[differs]} ${differs}, and ${this.#counts[differs]} came`);
    if (fields["sha256"] !== this.#sum.digest("hex"))
      throw new MkvError("failed", "the backup was changed: its checksum does not fit, take another one");
  }

  #unknown(): MkvError {
    return this.#wrong("says what this version of mkv does not write");
  }

  #wrong(what: string): MkvError {
    return new MkvError("failed", `line ${this.#number} of the backup ${what}`);
  }
}

/** The key of a line; undefined if something else would be written of what was read, or nothing can be. */
function knownIn(fields: Fields, counts: BackupCounts): Known | undefined {
  try {
    const known = readKnown(fields as KeyFields);
    return Bun.deepEquals(fieldsOf(known, counts), fields) && isReadable(known) ? known : undefined;
  } catch {
    return undefined; // What should be a text or a list is none.
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** A line as `fieldsOf` makes it, as far as that is not known to be wrong. */
type KeyFields = Partial<ValueRecord> & {
  readonly key: string;
  readonly damaged?: string;
  readonly attributes?: Attributes;
  readonly forward?: Omit<Forward, "record"> & ValueRecord;
  readonly owed?: Readonly<Record<string, readonly string[]>>;
};

function readKnown({ key, state, md5, volumes = [], damaged, attributes, forward, owed = {} }: KeyFields): Known {
  return {
    key: keyOf(key),
    record: damaged ?? (state && encodeRecord({ state, md5, volumes })),
    owed: debtsByKind(owed),
    ...(attributes && { attributes }),
    ...(forward && { forward: readForward(forward) }),
  };
}

function readForward({ state, md5, volumes, ...others }: Omit<Forward, "record"> & ValueRecord): Forward {
  return { ...others, record: decodeRecord(encodeRecord({ state, md5, volumes })) };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function noBackup(): MkvError {
  return new MkvError("failed", "what came in is no backup: give what mkv export wrote, as in mkv import < FILE");
}

/** The lines of a text, each with its end, as they come in. Throws MkvError failed for one that is too long. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[]> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = [];
    let at = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, at)) {
      lines.push(Buffer.concat([...rest.splice(0), chunk.subarray(at, end + 1)]));
      at = end + 1;
      restBytes = 0;
    }
    if (at < chunk.length) rest.push(chunk.slice(at));
    restBytes += chunk.length - at;
    if (restBytes > limits.backupLineBytes) throw noBackup();
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [Buffer.concat(rest)];
}

const newline = 0x0a;
