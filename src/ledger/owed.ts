// Owns what unfinished work says of files when an index is made anew: which are no values, and which are copies on their way
// out.
import { type ValueRecord } from "../format/record";
import { type Debt } from "./ledger";

/** What unfinished work accounts for, by key in hex: files that are no values, and good copies that are on their way out. */
export type Owed = Map<string, OwedByKey>;

export type OwedByKey = {
  readonly rubbish: readonly string[];
  readonly strays: readonly string[];
  /** The value was about to be replaced: of which write the files are, only their bytes tell. */
  readonly isReplaced: boolean;
};

/** What the debts of a key account for, by the names that volumes have today. */
export function accountedFor(
  known: ValueRecord | undefined,
  debts: readonly Pick<Debt, "volume" | "kind">[],
  nameOf: (volume: string) => string,
): OwedByKey {
  const volumes = known?.volumes.map(nameOf) ?? [];
  const isReplaced = debts.some(({ kind }) => kind === "staged");
  const placed = debts.filter(({ kind }) => kind !== "staged"); // No staged file lies where values do.
  const outside = placed.map(({ volume, kind }) => ({ volume: nameOf(volume), kind }));
  const unnamed = outside.filter(({ volume }) => !volumes.includes(volume));
  // What a move was copying is the value of the live record.
  const isRubbish = ({ kind }: (typeof unnamed)[number]) =>
    !known || kind === "left-over" || (kind === "in-flight" && known.state !== "live");
  const rubbish = unnamed.filter(isRubbish).map(({ volume }) => volume);
  const strays = unnamed.filter(({ kind }) => known && kind === "stray").map(({ volume }) => volume);
  return { rubbish, strays, isReplaced };
}
