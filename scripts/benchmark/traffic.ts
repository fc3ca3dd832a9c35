// Owns what is asked of servers: by wrk, which is fast and follows nothing, and by clients of our own, which look at answers.
import { join } from "node:path";
import { RunningProcess, type Spent } from "../../test/support/process";
import { type Work } from "./measure";
import { BenchError, demand } from "./failure";

const clients = 16;
const script = join(import.meta.dir, "load.lua");
let runs = 0;

/** What wrk asks for: see load.lua. A file has lines `PORT PATH`. */
export type Load = { readonly absentAmong: number } | { readonly file: string };

/**
 * What wrk gets out of ports in these seconds, with a thread for each of them. No two runs ask for the same absent keys, or
 * in the same order.
 * @throws BenchError if a request gets no answer, or one of another kind than is expected
 */
export async function wrk(ports: readonly number[], load: Load, seconds: number, connections = 100): Promise<Work> {
  const threads = ports.length === 1 ? [...ports, ...ports] : ports;
  const isAbsent = "absentAmong" in load;
  const what = isAbsent ? ["absent", String(load.absentAmong)] : ["paths", load.file];
  const shape = [`-t${threads.length}`, `-c${connections}`, `-d${seconds}s`, "--timeout", "30s", "-s", script];
  const command = ["wrk", ...shape, `http://127.0.0.1:${ports[0]}/`, "--", ...what, String(++runs)];
  const { stdout } = await run(command, { MKV_BENCH_PORTS: threads.join(",") });
  const counts = JSON.parse(/^MKV(\{.*\})$/m.exec(stdout)?.[1] ?? "{}") as Record<string, number>;
  const { requests = 0, broken = 0, refused = 0, seconds: took = 0 } = counts;
  demand(requests > 0, `wrk got no answer from port ${ports.join()}: ${stdout}`);
  demand(broken === 0, `${broken} of wrk's requests to port ${ports.join()} got no answer`);
  const unexpected = isAbsent ? requests - refused : refused;
  demand(unexpected === 0, `${unexpected} of ${requests} answers of port ${ports.join()} to wrk are of the wrong kind`);
  return { items: requests, seconds: took };
}

/** Runs a command to its end. Throws BenchError if it fails. */
export async function run(command: string[], env?: Record<string, string>): Promise<Spent & { stdout: string }> {
  await using process = new RunningProcess({ command, env });
  const code = await process.exited;
  const { stdout, stderr, spent } = process;
  if (code === 0) return { ...spent!, stdout };
  throw new BenchError(`${command.slice(0, 2).join(" ")} ended with ${code}: ${(stderr || stdout).trim().slice(-500)}`);
}

/** One request. `url` may begin at the port of this machine. Throws BenchError if the answer has another status. */
export async function ask(expected: number, method: string, url: string, init: RequestInit = {}): Promise<Response> {
  const whole = url.replace(/^(http:\/\/localhost)?:/, "http://127.0.0.1:");
  const response = await fetch(whole, { method, redirect: "manual", ...init });
  if (response.status === expected) return response;
  throw new BenchError(`${method} ${url} gives ${response.status} instead of ${expected}: ${await response.text()}`);
}

/** GET through a master, with what the volume says that it leads to. */
export async function fetchValue(port: number, key: string): Promise<Uint8Array> {
  const { headers } = await ask(302, "GET", `:${port}${key}`);
  return await (await ask(200, "GET", headers.get("location")!)).bytes();
}

/** Has 16 clients do some work for each of these, one after the other. */
export async function goThrough<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<Work> {
  const rest = items[Symbol.iterator]();
  const startMs = performance.now();
  let done = 0;
  const client = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      await work(next.value);
      done++;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { items: done, seconds: (performance.now() - startMs) / 1000 };
}

/** Counts until so many seconds have passed. */
export function* forSeconds(seconds: number): Generator<number> {
  const endMs = performance.now() + seconds * 1000;
  for (let number = 0; performance.now() < endMs; number++) yield number;
}
