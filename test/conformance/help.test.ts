// The help: what a command takes, in lines that fit a terminal.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runMkv } from "../support/master";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(30_000);
const COLUMNS = 100;
const STORE = ["db", "volumes", "replicas", "subvolumes", "userpass", "linkkey", "sync"];
const SERVING = ["port", "bind", "minreplicas", "fallback", "protect", "md5sum", "probe", "basicauth", "linkttl", "v"];
const VERIFYING = ["md5", "rate", "repair", "orphans"];

/** The help of a command, or of mkv. */
async function help(command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await runMkv(["help", ...command.split(" ")].filter((word) => word !== ""));
  expect([exitCode, stderr]).toEqual([0, ""]);
  return stdout;
}

const flagsIn = (text: string) => [...text.matchAll(/^ {2}-(\w[\w-]*)/gm)].map(([, name]) => name!);

test.each(["", "server", "rebuild", "rebalance", "verify", "adopt", "volume"])(
  "mkv help %s fits into 100 columns, and is what --help shows",
  async (command) => {
    const text = await help(command);
    expect(text.split("\n").filter((line) => line.length > COLUMNS)).toEqual([]);
    expect((await runMkv([...command.split(" "), "--help"].filter((word) => word !== ""))).stdout).toBe(text);
    expect(text).toMatch(/^Usage: .*mkv/m);
  },
);

test.each<[string, used: string[], others: string[]]>([
  ["server", [...SERVING, "threads"], ["master", ...VERIFYING]],
  ["rebuild", ["threads"], ["master", ...SERVING, ...VERIFYING]],
  ["rebalance", ["master"], [...SERVING, "threads", "md5", "repair", "orphans"]],
  ["verify", ["master", ...VERIFYING], [...SERVING, "threads"]],
  ["adopt", ["master"], [...SERVING, ...VERIFYING, "threads"]],
])("mkv help %s names what the command uses and what describes the store, no others", async (command, used, others) => {
  const shown = flagsIn(await help(command));
  expect(shown).toEqual(expect.arrayContaining([...STORE, ...used]));
  expect(shown.filter((flag) => others.includes(flag))).toEqual([]);
  expect(new Set(shown).size).toBe(shown.length);
});

test("what a command uses comes in groups", async () => {
  const headings = [...(await help("")).matchAll(/^(\w+)\n {2}-/gm)].map(([, heading]) => heading);
  for (const heading of ["Store", "Serving", "Durability", "Security", "Job"]) expect(headings).toContain(heading);
});

test("mkv help volume names the variables that the script volume names", async () => {
  const script = Bun.spawnSync(["bash", join(CHECKOUT, "volume"), "--help"]).stdout.toString();
  const named = [...script.matchAll(/^ {2}([A-Z_]+) /gm)].map(([, name]) => name!).filter((name) => name !== "DIR");
  expect(named.toSorted()).toEqual(["AUTH", "BIND", "LINK_KEY", "PORT", "SYNC_SOCKET"]);
  const text = await help("volume");
  for (const name of [...named, "DIR"]) expect(text).toMatch(new RegExp(`\\b${name}\\b`));
  expect(script.split("\n").filter((line) => line.length > COLUMNS)).toEqual([]);
});

test("help of what is no command is a mistake", async () => {
  const { exitCode, stdout, stderr } = await runMkv(["help", "serve"]);
  expect([exitCode, stdout, stderr]).toEqual([2, "", expect.stringMatching(/^mkv: unknown command serve[^\n]*\n$/)]);
});

test("a flag that no command uses so is told from one that another command uses", async () => {
  const unknown = await runMkv(["volume", "DIR", "-port", "3001"]);
  expect([unknown.exitCode, unknown.stderr]).toEqual([2, expect.stringMatching(/^mkv: volume does not use -port, /)]);
});
