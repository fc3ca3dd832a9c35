// Owns the showing of keys that were read as bytes, for lists.
import { showKey } from "../format/key";
import { type RawEntry, type ShownEntry } from "./ledger";

/** The same entries with their keys as text. */
export async function* shown(pages: AsyncIterable<readonly RawEntry[]>): AsyncGenerator<readonly ShownEntry[]> {
  for await (const page of pages) yield page.map(([key, record]) => [showKey(key), record]);
}
