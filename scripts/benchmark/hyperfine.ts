// Owns the calls of hyperfine, which times whole commands.
import { outputOf } from "./children";
import { demand } from "./failure";

/** The seconds that one run of a command of the shell takes. Throws BenchError if it fails; `report` is overwritten. */
export async function hyperfine(command: string, report: string): Promise<number> {
  await outputOf(["hyperfine", "--runs", "1", "--style", "none", "--export-json", report, command]);
  const { results } = (await Bun.file(report).json()) as { results: { times: number[] }[] };
  const seconds = results[0]?.times[0];
  demand(seconds !== undefined, `hyperfine has not timed ${command}`);
  return seconds;
}
