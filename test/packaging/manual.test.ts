// The man page and the completions say what the program says of itself.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { manual } from "../../scripts/manual";
import { temporaryFolder } from "../support/folder";
import { runMkv } from "../support/master";

const files = manual();
const help = (await runMkv(["help"])).stdout;
const flags = [...help.matchAll(/^ {2}-([\w-]+)/gm)].map(([, name]) => name!);
const commands = [...help.matchAll(/^ {2}([a-z]\w+)(?: [A-Z.]+)? {2,}\S/gm)].map(([, name]) => name!);

test.each<[string, (flag: string) => string, (command: string) => string]>([
  ["mkv.1", (flag) => `\n.B \\-${flag.replaceAll("-", "\\-")}`, (command) => `\n.B ${command}`],
  ["mkv.bash", (flag) => ` -${flag}`, (command) => `    ${command}) flags=`],
  ["_mkv", (flag) => `'-${flag}[`, (command) => `    '${command}:`],
  ["mkv.fish", (flag) => ` -o ${flag} `, (command) => ` -a ${command} `],
])("%s names every command and flag that the help names", (name, ofFlag, ofCommand) => {
  expect([flags.includes("volumes"), commands.includes("volume")]).toEqual([true, true]);
  expect(flags.filter((flag) => !files[name]!.includes(ofFlag(flag)))).toEqual([]);
  expect(commands.filter((command) => !files[name]!.includes(ofCommand(command)))).toEqual([]);
});

test("bash completes commands, the flags of a command, and words of a flag", async () => {
  await using folder = temporaryFolder();
  await Bun.write(join(folder.path, "mkv.bash"), files["mkv.bash"]!);
  const complete = (...words: string[]) => {
    const script = `. mkv.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mkv; echo "\${COMPREPLY[*]}"`;
    return Bun.spawnSync(["bash", "-c", script, "bash", ...words], { cwd: folder.path })
      .stdout.toString()
      .trim();
  };
  expect(complete("mkv", "reb")).toBe("rebuild rebalance");
  expect(complete("mkv", "verify", "-rep")).toBe("-replicas -repair");
  expect(complete("mkv", "rebuild", "-rep")).toBe("-replicas");
  expect(complete("mkv", "server", "-probe", "v")).toBe("volume");
});

test("the man page is well formed", async () => {
  if (!Bun.which("groff")) return console.log("skipped: what groff thinks of the man page (groff is not installed)");
  const groff = Bun.spawnSync(["groff", "-man", "-Tutf8", "-ww", "-z"], { stdin: Buffer.from(files["mkv.1"]!) });
  expect([groff.exitCode, groff.stderr.toString()]).toEqual([0, ""]);
});
