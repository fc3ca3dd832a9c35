// Owns the runs of wrk.
import { join } from "node:path";
import { outputOf } from "./children";
import { demand } from "./failure";

/** What wrk asks for: see load.lua. */
export type Load =
  | { readonly kind: "absent"; readonly keys: number }
  | { readonly kind: "paths"; readonly file: string }
  | { readonly kind: "folders"; readonly file: string; readonly ports: readonly number[] };

const script = join(import.meta.dir, "load.lua");
let runs = 0;

/**
 * Requests a second that wrk gets out of a port. No two runs ask for the same absent keys, or in the same order.
 * @throws BenchError if a request gets no answer, or one of another kind than expected
 */
export async function wrk(
  port: number,
  load: Load,
  options: { seconds: number; connections?: number; expect: "found" | "not found" },
): Promise<number> {
  const { seconds, connections = 100, expect } = options;
  const ports = load.kind === "folders" ? load.ports : [];
  const threads = Math.max(2, ports.length);
  const what = [load.kind, load.kind === "absent" ? String(load.keys) : load.file, String(++runs)];
  const shape = [`-t${threads}`, `-c${connections}`, `-d${seconds}s`, "--timeout", "30s"];
  const said = await outputOf([
    ...["env", `MKV_BENCH_PORTS=${ports.join(",")}`],
    ...["wrk", ...shape, "-s", script, `http://127.0.0.1:${port}/`, "--", ...what],
  ]);
  const counts = JSON.parse(/^MKV(\{.*\})$/m.exec(said)?.[1] ?? "{}") as Partial<Record<string, number>>;
  const { requests = 0, broken = 0, refused = 0 } = counts;
  demand(requests > 0, `wrk got no answer from port ${port}: ${said}`);
  demand(broken === 0, `${broken} of wrk's requests to port ${port} got no answer`);
  const unexpected = expect === "found" ? refused : requests - refused;
  demand(unexpected === 0, `${unexpected} of ${requests} answers of port ${port} to wrk are not "${expect}"`);
  return requests / counts["seconds"]!;
}
