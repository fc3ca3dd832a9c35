// Owns the question whether an index is the one that is remembered, as it went on, or another one in its place. LevelDB and
// goleveldb give each number to one file, and a table is written once: one whose number was given out by then was there
// already, and as long as it is now.
import { limits } from "../../limits";
import { type Manifest } from "./manifest";

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
