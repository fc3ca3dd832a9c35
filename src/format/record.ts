// Owns the value of a key's index entry.
//   record := "DELETED"? ("HASH" md5hex)? volume ("," volume)*
// "DELETED" stands for unlinked: never shown as live. The Go program, and 0.1.0, also write it while a write or delete of a key
// is under way.
import { MkvError } from "../errors";

/** What the index knows of a key. */
export type ValueRecord = {
  readonly state: "live" | "unlinked";
  /** MD5 of the value in lower-case hex, where it is known. */
  readonly md5: string | undefined;
  /** The volumes that hold the value, in order, subvolume included. */
  readonly volumes: readonly string[];
};

/** The MD5 of an empty value: only where a record has it, an empty file is whole. */
const md5OfNothing = "d41d8cd98f00b204e9800998ecf8427e";

/** Names with commas between them, of whatever servers: in ASCII, without blanks, and each begins with a host. */
const volumeList = /^[!-+.0-9;-~-][!-+\--~]*(?:,[!-+.0-9;-~-][!-+\--~]*)*$/;

/** The fewest bytes that a whole file of a value with this MD5 has. */
export function leastBytesOf(md5: string | undefined): 0 | 1 {
  return md5 === md5OfNothing ? 0 : 1;
}

/** The record as the bytes (ASCII) that the index holds. */
export function encodeRecord({ state, md5, volumes }: ValueRecord): string {
  return `${state === "unlinked" ? "DELETED" : ""}${md5 === undefined ? "" : `HASH${md5}`}${volumes.join(",")}`;
}

/** Whether a record is that of an unlinked or unfinished key, without decoding it. */
export function isUnlinked(text: string): boolean {
  return text.startsWith("DELETED");
}

/** The record that a text is; undefined for no text, and for what is no record. */
export function readRecord(text: string | undefined): ValueRecord | undefined {
  try {
    return text === undefined ? undefined : decodeRecord(text);
  } catch (error) {
    if (error instanceof MkvError) return undefined;
    throw error;
  }
}

/** `encodeRecord` undone; throws MkvError corrupt for what is no record. */
export function decodeRecord(text: string): ValueRecord {
  const start = isUnlinked(text) ? "DELETED".length : 0;
  const hash = text.startsWith("HASH", start) ? text.slice(start + "HASH".length, start + "HASH".length + 32) : "";
  const md5 = /^[0-9a-f]{32}$/.test(hash) ? hash : undefined;
  const names = text.slice(md5 === undefined ? start : start + "HASH".length + md5.length);
  if (!volumeList.test(names))
    throw new MkvError(
      "corrupt",
      `the index holds a damaged record (${JSON.stringify(text.slice(0, 80))}): run rebuild`,
    );
  return { state: start > 0 ? "unlinked" : "live", md5, volumes: names.split(",") };
}
