// Owns the text of the help: what the table of flags says, in lines of at most 100 columns.
import pkg from "../../package.json";
import { type CommandName, type Flag, commands, groups } from "./flags";
import { variableOf } from "./config";
import { volumeVariables } from "./volume";

const columns = 100;
const unbroken = "\u00a0"; // Where no line is broken.

/** The help of the program, or of a command: what that uses, and what describes the store. */
export function helpOf(command?: CommandName): string {
  if (command === undefined) {
    const summaries = Object.entries(commands).map(([name, { summary }]) => [name, summary] as const);
    return [
      title("a distributed store for blobs: a master, and volumes, which are nginx"),
      "Usage: mkv [FLAGS] COMMAND\n",
      section("Commands", summaries),
      "  mkv help COMMAND shows what a command uses, mkv version the version.\n",
      `Flags. Each can come from the environment as well: ${variableOf("port")} is -port.`,
      flagsOf(() => true),
    ].join("\n");
  }
  const { summary, words } = commands[command];
  if (command === "volume") {
    const variables = section("Environment", Object.entries(volumeVariables));
    return [title(summary), `Usage: [PORT=3001] mkv volume ${words}\n`, variables].join("\n");
  }
  const usage = ["Usage: mkv [FLAGS]", command, words].filter((word) => word !== "").join(" ");
  return [title(summary), usage, flagsOf(({ by }) => by.includes(command))].join("\n");
}

function title(text: string): string {
  return `mkv ${pkg.version}: ${text}\n`;
}

function flagsOf(isShown: (flag: Flag) => boolean): string {
  const sections = Object.entries(groups).map(([heading, all]) => {
    const rows = Object.entries<Flag>(all).filter(([, flag]) => isShown(flag));
    const shown = rows.map(([name, flag]) => rowOf(name, flag));
    return shown.length === 0 ? "" : `\n${section(heading, shown)}`;
  });
  return sections.filter((text) => text !== "").join("\n");
}

/** `-port N`, and what it is. */
export function rowOf(name: string, { is, help, shown, default: text }: Flag): readonly [string, string] {
  const ofDefault = shown ?? (text === "false" ? undefined : text);
  return [
    `-${name}${is.word ? ` ${is.word}` : ""}`,
    ofDefault === undefined ? help : `${help} ${`(default: ${ofDefault})`.replaceAll(" ", unbroken)}`,
  ];
}

/** A heading, and rows of two columns below it. */
function section(heading: string, rows: readonly (readonly [string, string])[]): string {
  const indent = "  ";
  const first = Math.max(16, ...rows.map(([name]) => name.length + 2));
  const lines = rows.flatMap(([name, text]) => {
    const wrapped = Bun.wrapAnsi(text, columns - indent.length - first).replaceAll(unbroken, " ");
    return wrapped.split("\n").map((line, i) => indent + (i === 0 ? name : "").padEnd(first) + line);
  });
  return [heading, ...lines].join("\n");
}
