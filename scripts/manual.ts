// Makes the man page and the completions of shells out of the table of commands and flags: `bun scripts/manual.ts FOLDER`.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pkg from "../package.json";
import { type CommandName, type Flag, commands, flags, groups } from "../src/cli/flags";
import { rowOf } from "../src/cli/help";
import { volumeVariables } from "../src/cli/volume";

const names = Object.keys(commands) as CommandName[];
const others = ["help", "version"];
const allFlags = Object.entries<Flag>(flags);
const flagsOf = (command: CommandName) => allFlags.filter(([, { by }]) => by.includes(command));
const words = (items: readonly string[]) => items.join(" ");

/** The files, by their names. */
export function manual(): Record<string, string> {
  return { "mkv.1": manPage(), "mkv.bash": bash(), _mkv: zsh(), "mkv.fish": fish() };
}

function manPage(): string {
  const term = (name: string, text: string) => [".TP", `.B ${roff(name)}`, roff(text)];
  const section = (heading: string, lines: readonly string[]) => [`.SH ${heading}`, ...lines];
  const ofGroup = ([heading, all]: [string, Record<string, Flag>]) => [
    `.SS ${heading}`,
    ...Object.entries(all).flatMap(([name, flag]) => {
      const [label, text] = rowOf(name, flag);
      return term(label, `${text}. For ${flag.by.join(", ")}.`);
    }),
  ];
  return [
    `.TH MKV 1 "" "mkv ${pkg.version}" "User Commands"`,
    ...section("NAME", ["mkv \\- a distributed store for blobs"]),
    ...section("SYNOPSIS", [".B mkv", roff("[FLAGS] COMMAND"), ".br", ".B mkv volume", "DIR"]),
    ...section("DESCRIPTION", [
      roff(
        "A master knows where each value is; volumes, which are stock nginx, hold the bytes. GET /key is a redirect to one.",
      ),
      roff("Flags go before or after the command, with one dash or two: -db x, -db=x, -protect, -md5sum=false."),
    ]),
    ...section(
      "COMMANDS",
      names.flatMap((name) => term(`${name} ${commands[name].words}`.trim(), commands[name].summary)),
    ),
    ...section("FLAGS", Object.entries<Record<string, Flag>>(groups).flatMap(ofGroup)),
    ...section("ENVIRONMENT", [
      roff("mkv volume takes its settings from the environment:"),
      ...Object.entries(volumeVariables).flatMap(([name, text]) => term(name, text)),
      ".PP",
      roff(
        "Each flag can come from the environment as well: MKV_PORT is -port. What is typed wins. The password for the volumes is better given as MKV_USERPASS: ps does not show that.",
      ),
    ]),
    ...section("EXIT STATUS", [roff("0: done. 1: failed, or not everything is well. 2: wrong usage.")]),
    ...section("FILES", [
      ...term("/etc/mkv/master.env, /etc/mkv/volume.env", "settings of the units mkv-master and mkv-volume"),
      ...term("/var/lib/mkv", "the index, what is unfinished, and what mkv remembers"),
      ...term("/srv/mkv", "the values of a volume"),
    ]),
    ...section("EXAMPLES", [
      ".EX",
      roff("PORT=3001 mkv volume /srv/mkv"),
      roff("mkv -volumes a:3001,b:3001,c:3001 -db /var/lib/mkv/indexdb server"),
      roff("curl -L -T file.txt localhost:3000/file.txt"),
      ".EE",
    ]),
    ...section("SEE ALSO", [".BR nginx (8),", ".BR curl (1)"]),
    "",
  ].join("\n");
}

/** A line of text for roff. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/, "\\&");
}

/** What a shell can complete after a flag. */
function takes({ is }: Flag): "nothing" | "file" | "folder" | "words" | "text" {
  if (is.word === undefined) return "nothing";
  if (/\bFILE\b/.test(is.word)) return "file";
  if (/\bPATH\b/.test(is.word)) return "folder";
  return /^[a-z0-9]+(\|[a-z0-9]+)+$/.test(is.word) ? "words" : "text";
}

const choicesOf = ({ is }: Flag) => is.word!.replaceAll("|", " ");

function bash(): string {
  const ofCommand = names.map((name) => `    ${name}) flags="${words(flagsOf(name).map(([flag]) => `-${flag}`))}" ;;`);
  const reply = (from: string) => `mapfile -t COMPREPLY < <(compgen ${from} -- "$cur")`;
  const after = (flag: Flag) =>
    ({ file: reply("-f"), folder: reply("-d"), words: reply(`-W "${choicesOf(flag)}"`), text: ":" })[
      takes(flag) as "text"
    ];
  const valued = allFlags.filter(([, flag]) => takes(flag) !== "nothing");
  return `# Completion of mkv for bash.
_mkv() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} word command='' flags='' IFS=$' \\t\\n'
  COMPREPLY=()
  case $prev in
${valued.map(([name, flag]) => `    -${name}) ${after(flag)}; return ;;`).join("\n")}
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in ${names.join("|")}) command=$word; break ;; esac
  done
  case $command in
${ofCommand.join("\n")}
    *) flags="${words(allFlags.map(([name]) => `-${name}`))}" ;;
  esac
  if [[ $cur == -* ]]; then
    ${reply(`-W "\$flags -help"`)}
  elif [[ $command == volume ]]; then
    ${reply("-d")}
  elif [[ -z $command ]]; then
    ${reply(`-W "${words([...names, ...others])}"`)}
  fi
}
complete -o filenames -F _mkv mkv
`;
}

function zsh(): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''");
  const spec = ([name, flag]: [string, Flag]) => {
    const text = quote(flag.help.replaceAll(/[[\]:\\]/g, "\\$&"));
    const action = {
      nothing: "",
      file: "_files",
      folder: "_files -/",
      words: `(${takes(flag) === "words" ? choicesOf(flag) : ""})`,
      text: " ",
    };
    const word = flag.is.word?.replaceAll("|", " or ").toLowerCase();
    return `'-${name}[${text}]${word === undefined ? "" : `:${word.replaceAll(":", "\\:")}:${action[takes(flag)]}`}'`;
  };
  const specs = (command: CommandName) => flagsOf(command).map((flag) => `      ${spec(flag)} \\`);
  const ofCommand = names.map((name) =>
    [
      `    ${name}) _arguments \\`,
      ...specs(name),
      `      '*:${name === "volume" ? "folder:_files -/" : "argument: "}' ;;`,
    ].join("\n"),
  );
  return `#compdef mkv
# Completion of mkv for zsh.
_mkv() {
  local -a commands
  commands=(
${names.map((name) => `    '${name}:${quote(commands[name].summary).replaceAll(/:(?=\d)/g, "\\:")}'`).join("\n")}
    'help:show what a command uses'
    'version:show the version'
  )
  local word command
  for word in \${words[2,CURRENT-1]}; do
    (( \${+commands[(r)$word:*]} )) && { command=$word; break }
  done
  case $command in
${ofCommand.join("\n")}
    help) _describe command commands ;;
    version) ;;
    *) _arguments \\
${allFlags.map((flag) => `      ${spec(flag)} \\`).join("\n")}
      '*:command:{_describe command commands}' ;;
  esac
}
_mkv "$@"
`;
}

function fish(): string {
  const quote = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
  const ofFlag = ([name, flag]: [string, Flag]) => {
    const when = quote(
      `not __fish_seen_subcommand_from ${words([...names, ...others])}; or __fish_seen_subcommand_from ${words(flag.by)}`,
    );
    const value = {
      nothing: "",
      file: " -r -F",
      folder: " -r -F",
      words: ` -x -a ${quote(flag.is.word ? choicesOf(flag) : "")}`,
      text: " -x",
    };
    return `complete -c mkv -n ${when} -o ${name}${value[takes(flag)]} -d ${quote(flag.help)}`;
  };
  const ofCommand = ([name, summary]: readonly [string, string]) =>
    `complete -c mkv -n 'not __fish_seen_subcommand_from ${words([...names, ...others])}' -a ${name} -d ${quote(summary)}`;
  const summaries = names.map((name) => [name, commands[name].summary] as const);
  return [
    "# Completion of mkv for fish.",
    "complete -c mkv -f",
    ...summaries.map(ofCommand),
    ...[["help", "show what a command uses"] as const, ["version", "show the version"] as const].map(ofCommand),
    `complete -c mkv -n '__fish_seen_subcommand_from volume' -F`,
    ...allFlags.map(ofFlag),
    "",
  ].join("\n");
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("usage: bun scripts/manual.ts FOLDER");
    process.exit(2);
  }
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(manual())) writeFileSync(join(folder, name), text);
}
