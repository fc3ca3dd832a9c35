// Owns what a verify is asked to do, and what it counts.
import { type Key, showKey } from "../format/key";
import { type Depth } from "../store/copies";
import { type Problem as KeyProblem } from "../store/heal";
import { type Pace } from "../store/pace";
import { type Volumes } from "../volumes/volumes";
import { type Task } from "./cursor";
import { type JobProgress } from "./pool";
import { type JobTarget } from "./target";

/** What was looked at, what is wrong by kind, how much of that was repaired, and the bytes that were copied for it. */
export type VerifyCounts = Record<"keys" | "files" | Problem | "repaired" | "bytes", number>;

/** `missing`, `damaged` and `unknown` (its volume does not answer) count copies, `orphans` files, the others keys. */
export const problems = ["missing", "damaged", "unknown", "misplaced", "unfinished", "orphans"] as const;
type Problem = KeyProblem | "orphans";

export function noFindings(): VerifyCounts {
  const names = ["keys", "files", ...problems, "repaired", "bytes"] as const;
  return Object.fromEntries(names.map((name) => [name, 0])) as VerifyCounts;
}

/** How much is wrong, of all kinds. */
export function wrongIn(counts: VerifyCounts): number {
  return problems.reduce((sum, problem) => sum + counts[problem], 0);
}

/** What to compare, and what to do about differences. */
export type Verify = {
  readonly target: JobTarget;
  readonly volumes: Volumes;
  /** By `md5` all data is read. */
  readonly depth: Depth;
  readonly pace: Pace;
  readonly repair: boolean;
  /** Whether files are removed that have been orphans for an hour. */
  readonly removeOrphans: boolean;
  readonly task: Task;
  readonly progress: JobProgress;
  /** Counted here as it goes on. */
  readonly counts: VerifyCounts;
};

/** A line about a key. */
export function note({ progress }: Verify, key: Key, line: string): void {
  progress.note(`${JSON.stringify(showKey(key))}: ${line}`);
}
