// Owns the command line: Go-style flags, anywhere, made into what citty reads; and what each command runs.
import { type ArgsDef, defineCommand, runCommand } from "citty";
import pkg from "../../package.json";
import { MkvError } from "../errors";
import { logAs, print } from "../log";
import { runExport, runImport } from "./backup";
import { type Environment, type Given, adminOf, flagsGiven, readConfig, requireGuarded } from "./config";
import { type CommandName, type Flag, type FlagName, commands, flags, goFlags } from "./flags";
import { helpOf } from "./help";
import { type RebuildTask, rebuildTask, runAdopt, runRebalance, runRebuild, runVerify } from "./jobs";
import { becomeOwner } from "./owner";
import { type ServerTask, runServer, serveTask } from "./server";
import { type ThreadContext } from "./threads";
import { type Report, reported } from "./progress";
import { runStatus } from "./status";
import { runVolume } from "./volume";

export type CommandLine = {
  readonly wants: "run" | "help" | "version";
  readonly command: CommandName | undefined;
  /** What citty is given: positional arguments, then `--name=value`. */
  readonly args: readonly string[];
};

/**
 * Takes a command line apart: `-db x`, `--db x`, `-db=x`, `-protect`, `-protect=false`, before or after the command.
 * @throws MkvError usage for an unknown command or flag, a flag without its value, one that the command does not use
 */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const words: string[] = [];
  const given = new Map<FlagName, string>();
  let wants: CommandLine["wants"] = "run";
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") words.push(...rest.splice(0));
    else if (!/^-./.test(word)) words.push(word);
    else {
      const [, name, value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word)!;
      if (name === "h" || name === "help") wants = "help";
      else if (name === "version") wants = "version";
      else if (isFlag(name!)) given.set(name, textOf(name, value, rest));
      else throw new MkvError("usage", `unknown flag -${name}: see mkv --help`);
    }
  }
  while (words[0] === "help" || words[0] === "version") wants = words.shift() as "help" | "version";
  const [command, ...others] = words;
  if (command !== undefined && !isCommand(command))
    throw new MkvError("usage", `unknown command ${command}: see mkv --help`);
  if (wants === "run") requireUsed(command, given);
  return { wants, command, args: [...others, ...[...given].map(([name, text]) => `--${name}=${text}`)] };
}

/** What a command may use of the process. */
export type ProcessContext = {
  readonly environment: Environment;
  /** Aborted when the process is asked to end. */
  readonly stop: AbortSignal;
  /** Has a `reload` when files of settings are to be read anew. */
  readonly reload: EventTarget;
  /** URL of the program, for its worker threads. */
  readonly entry: string;
};

/**
 * Runs a command line.
 * @returns its exit code
 * @throws MkvError usage, failed
 */
export async function run({ wants, command, args }: CommandLine, context: ProcessContext): Promise<number> {
  if (wants !== "run" || command === undefined) {
    print(wants === "version" ? pkg.version : helpOf(command));
    return 0;
  }
  const definition = defineCommand({
    args: Object.fromEntries(Object.keys(flags).map((name) => [name, { type: "string" }])) as ArgsDef,
    run: ({ args: { _: words, ...typed } }) => {
      if (command === "volume") return runVolume(words, context);
      requireWords(command, words);
      const given = flagsGiven(command, typed, context.environment);
      if (command === "status") return runStatus(adminOf(given));
      return reported(command, given, (report) => runOnStore(command, { words, given, context, report }));
    },
  });
  const { result } = await runCommand(definition, { rawArgs: [...args] });
  return typeof result === "number" ? result : 0;
}

export type Task = ServerTask | RebuildTask;

/** Runs what a worker thread was started for; returns what its starter gets. */
export function runTask(task: Task, context: ThreadContext): Promise<unknown> {
  return task.name === "server" ? serveTask(task, context) : rebuildTask(task, context);
}

async function runOnStore(
  command: Exclude<CommandName, "volume" | "status">,
  {
    words,
    given,
    context,
    report,
  }: { words: readonly string[]; given: Given; context: ProcessContext; report: Report },
): Promise<void> {
  const takes = ({ by }: Flag) => by.includes(command);
  const volumes = takes(flags.volumes) ? "needed" : "optional";
  const config = await readConfig(given, { volumes, source: takes(flags.master) ? "any" : "db" });
  logAs(config.log);
  if (command === "server") requireGuarded(config);
  if (config.source.kind === "folder") becomeOwner(config.source.db);
  if (command === "server") await runServer(config, context);
  else if (command === "rebuild") await runRebuild(config, report, context);
  else if (command === "rebalance") await runRebalance(config, report);
  else if (command === "verify") await runVerify(config, report);
  else if (command === "export") await runExport(config);
  else if (command === "import") await runImport(config, report);
  else await runAdopt(config, words);
}

/** Throws MkvError usage for a word too many, or none where there should be some. */
function requireWords(command: CommandName, words: readonly string[]): void {
  const takesWords = commands[command].words !== "";
  if (takesWords && words.length === 0)
    throw new MkvError("usage", `${command} needs names: see mkv ${command} --help`);
  if (!takesWords && words.length > 0)
    throw new MkvError("usage", `"${words[0]}" is one word too many: see mkv ${command} --help`);
}

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}

function isCommand(word: string): word is CommandName {
  return Object.hasOwn(commands, word);
}

function textOf(name: FlagName, value: string | undefined, rest: string[]): string {
  const text = value ?? (flags[name].is.word === undefined ? "true" : rest.shift());
  if (text === undefined) throw new MkvError("usage", `flag -${name} needs a value`);
  return text;
}

/** Throws MkvError usage for a flag that means nothing to the command of this line. */
function requireUsed(command: CommandName | undefined, given: ReadonlyMap<FlagName, string>): void {
  if (command === undefined) {
    const names = Object.keys(commands);
    throw new MkvError("usage", `name a command: ${names.slice(0, -1).join(", ")} or ${names.at(-1)}; see mkv --help`);
  }
  for (const name of given.keys()) {
    const { by }: Flag = flags[name];
    if (by.includes(command) || (goFlags.has(name) && command !== "volume")) continue;
    throw new MkvError("usage", `${command} does not use -${name}, which is for ${by.join(", ")}: leave it out`);
  }
}
