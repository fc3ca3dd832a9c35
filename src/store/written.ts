// Owns what is written down of the files of a value beside its record, as attributes: with these a list asks no volume, and a
// copy that was cut off is known as one. Of a value that was put by the native dialect nothing is.
import { type Attributes } from "../ledger/ledger";
import { type FileInfo } from "../volumes/read";
import { type Stored } from "./transfer";

/** The length in bytes, and the HTTP date. */
export const [bytesName, dateName] = ["bytes", "date"] as const;

/** Length and date of these files, as attributes. */
export function attributesOfFile({ bytes, date }: Stored): Attributes {
  return { [bytesName]: String(bytes), [dateName]: date };
}

/** Length and date as they were written down; undefined if they were not, or are damaged. */
export function writtenFile(attributes: Attributes | undefined): FileInfo | undefined {
  const { [bytesName]: bytes, [dateName]: modified } = attributes ?? {};
  const isWhole = /^\d{1,15}$/.test(bytes ?? "") && !Number.isNaN(Date.parse(modified ?? ""));
  return isWhole ? { bytes: Number(bytes), modified: modified! } : undefined;
}
