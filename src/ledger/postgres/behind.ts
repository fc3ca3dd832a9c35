// Owns what is remembered and said of a database that may lack what was acknowledged last: the ledger is behind.
import { warn } from "../../log";

/** Under this name that is remembered, until a rebuild. */
export const behindName = "behind";

/** Says so, with what is known of the cause. */
export function warnOfLack(cause?: string): void {
  const because = cause === undefined ? "" : `: ${cause}`;
  warn(
    `the database may lack what was acknowledged last${because}; with all masters stopped, "mkv rebuild" finds what is missing`,
  );
}
