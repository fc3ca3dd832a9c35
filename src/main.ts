#!/usr/bin/env bun
// Owns the process: arguments, environment, signals, exit codes. Everything else is a function of what it is given.
import { isMainThread } from "node:worker_threads";
import { type Task, readCommandLine, run, runTask } from "./cli/commands";
import { runThread } from "./cli/threads";
import { MkvError, exitCodeOf, reasonOf } from "./errors";
import { limits } from "./limits";
import { lastWordMs, logBug, sayFailure } from "./log";

/** Bun reads how many requests it may have under way from the environment, once, at its start. */
const requestsVariable = "BUN_CONFIG_MAX_HTTP_REQUESTS";
/**
 * The last of its compilers takes on what has been called some 66,000 times, not 4,000. Its work took 15 % of the CPU of the
 * first 7,500 rounds of PUT, GET and DELETE, and 25 % of a rebalance of 5,000 small values; later ones cost as much without.
 */
const compilerVariable = { BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: "1000000" };

process.on("unhandledRejection", logBug);

const argv = process.argv.slice(2);
if (isMainThread) await main();
else {
  await runThread((task, context) => runTask(task as Task, context));
  process.exit(0); // Only this thread: kept connections would hold it.
}

async function main(): Promise<void> {
  let failureWaitMs = Number.POSITIVE_INFINITY;
  try {
    const line = readCommandLine(argv);
    const isServer = line.wants === "run" && line.command === "server";
    const isLong = isServer || (line.wants === "run" && line.command === "rebalance");
    if (isLong && process.env[requestsVariable] === undefined) restartWithRoom();
    const [stop, reload] = [new AbortController(), new EventTarget()];
    const isService = isServer || line.command === "volume"; // Jobs may be killed at any moment.
    if (isService) failureWaitMs = lastWordMs;
    const signals = isService ? (["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const) : [];
    for (const signal of signals) {
      if (signal === "SIGHUP" && isServer) process.on(signal, () => reload.dispatchEvent(new Event("reload")));
      else process.on(signal, () => stop.abort());
    }
    process.exit(await run(line, { environment: process.env, stop: stop.signal, reload, entry: import.meta.url }));
  } catch (error) {
    sayFailure(error instanceof MkvError ? error.message : `a bug: ${reasonOf(error)}`, failureWaitMs);
    process.exit(exitCodeOf(error));
  }
}

/** Becomes the same program once more, with room for as many requests to volumes as there can be, and fewer compilations. */
function restartWithRoom(): void {
  const script = process.argv[1]!;
  const isBundled = script.startsWith("/$bunfs/");
  const words = isBundled ? [process.execPath, ...argv] : [process.execPath, script, ...argv];
  const requests = { [requestsVariable]: String(limits.volumeRequests) };
  const environment = { ...compilerVariable, ...process.env, ...requests } as Record<string, string>;
  (process as unknown as { execve(file: string, args: string[], env: Record<string, string>): never }).execve(
    process.execPath,
    words,
    environment,
  );
}
