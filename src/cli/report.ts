// Owns the last line of a job for programs: one JSON object, whether it went well or not.
//   {"job", "exit": 0 | 1, "seconds", "dryRun"?, its counts, "error"?}; a dry run counts what would be done
import { reasonOf } from "../errors";
import { type Config } from "./config";

/**
 * Does the work of a job, and says under -json how it ended.
 * @param options.counts what the work counts, as far as it gets
 * @throws what `work` throws
 */
export async function reported(
  job: string,
  { config, counts }: { config: Config; counts: Readonly<Record<string, number>> },
  work: () => Promise<void>,
): Promise<void> {
  const startMs = performance.now();
  let failure: { readonly error: unknown } | undefined;
  await work().catch((error: unknown) => (failure = { error }));
  if (config.json) {
    const seconds = Math.round(performance.now() - startMs) / 1000;
    const error = failure && { error: reasonOf(failure.error) };
    const dryRun = config["dry-run"] && { dryRun: true };
    console.log(JSON.stringify({ job, exit: failure ? 1 : 0, seconds, ...dryRun, ...counts, ...error }));
  }
  if (failure) throw failure.error;
}
