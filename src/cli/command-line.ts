// Owns the command line: Go-style flags, anywhere, made into what citty reads.
import { MkvError } from "../errors";
import { type CommandName, type Flag, type FlagName, commands, flags, goFlags } from "./flags";

/** A command line, taken apart. */
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
  if (words[0] === "help" || words[0] === "version") wants = words.shift() as "help" | "version";
  const [command, ...others] = words;
  if (command !== undefined && !isCommand(command))
    throw new MkvError("usage", `unknown command ${command}: see mkv --help`);
  if (wants === "run") requireUsed(command, given);
  return { wants, command, args: [...others, ...[...given].map(([name, text]) => `--${name}=${text}`)] };
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
