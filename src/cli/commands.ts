// Owns the commands: what each is called, what its help says, what it runs.
import { type ArgsDef, type CommandDef, defineCommand, renderUsage, runCommand } from "citty";
import pkg from "../../package.json";
import { MkvError } from "../errors";
import { type Config, type Flags, readConfig, requireGuarded } from "./config";
import { flags, readCommandLine, requireUsed } from "./flags";
import { runAdopt, runRebalance, runVerify } from "./jobs";
import { closeToOthers } from "./owner";
import { type RebuildTask, rebuildTask, runRebuild } from "./rebuild";
import { type ServerTask, runServer, serveTask } from "./server";
import { runVolume } from "./volume";

/** What a command may use of the process. */
export type ProcessContext = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted when the process is asked to end. */
  readonly stop: AbortSignal;
  /** URL of the program, for its worker threads. */
  readonly entry: string;
};

const descriptions = {
  server: "Serve the store: the master",
  rebuild: "Regenerate the index from the volumes, with the master stopped",
  rebalance: "Bring every key to the volumes where it belongs, with the master stopped or through -master",
  verify: "Compare index and volumes, and repair with -repair; with the master stopped or through -master",
  adopt: "Take disks for what they are now, after a replacement: mkv ... adopt host:3001/sv03",
  volume: "Serve a folder as a volume with nginx: PORT, BIND, AUTH and LINK_KEY in the environment",
} as const;
type Name = keyof typeof descriptions;
const throughMaster: ReadonlySet<Name> = new Set(["rebalance", "verify", "adopt"]);

/**
 * Runs a command line.
 * @returns the exit code of a command that went well
 * @throws MkvError usage, failed
 */
export async function run(argv: readonly string[], context: ProcessContext): Promise<number> {
  const line = readCommandLine(argv);
  const commands = define(context);
  if (line.version) return say(pkg.version);
  if (line.command === undefined && !line.help)
    throw new MkvError("usage", "name a command: server, rebuild, rebalance, verify, adopt or volume; see mkv --help");
  if (line.command === undefined) return say(await renderUsage(commands.root));
  if (!Object.hasOwn(descriptions, line.command))
    throw new MkvError("usage", `unknown command ${line.command}: see mkv --help`);
  const command = commands.named[line.command as Name] as CommandDef;
  if (line.help) return say(await renderUsage(command, commands.root));
  requireUsed(line);
  const { result } = await runCommand(command, { rawArgs: [...line.args] });
  return typeof result === "number" ? result : 0;
}

/** What a worker thread may be started for. */
export type Task = ServerTask | RebuildTask;

/** Runs what a worker thread was started for. */
export function runTask(task: Task): Promise<void> {
  return task.name === "server" ? serveTask(task) : rebuildTask(task);
}

function define({ environment, stop, entry }: ProcessContext) {
  const onStore = (name: Name, runs: (config: Config, words: readonly string[]) => Promise<void>) =>
    defineCommand({
      meta: { name, description: descriptions[name] },
      args: flags as ArgsDef,
      async run({ args }) {
        if (name === "adopt" && args._.length === 0)
          throw new MkvError("usage", "name the disks or volumes to adopt, as in mkv ... adopt host:3001/sv03");
        if (name !== "adopt" && args._.length > 0)
          throw new MkvError("usage", `"${args._[0]}" is one word too many: see mkv ${name} --help`);
        const config = readConfig(args as Flags, environment);
        if (name === "server") requireGuarded(config);
        if (config.db === "" && !throughMaster.has(name)) throw new MkvError("usage", `${name} needs -db, not -master`);
        const giveBack = config.db === "" ? undefined : closeToOthers(config.db);
        try {
          await runs(config, args._);
        } finally {
          giveBack?.();
        }
      },
    });
  const named = {
    server: onStore("server", (config) => runServer(config, { stop, entry })),
    rebuild: onStore("rebuild", (config) => runRebuild(config, entry)),
    rebalance: onStore("rebalance", runRebalance),
    verify: onStore("verify", runVerify),
    adopt: onStore("adopt", runAdopt),
    volume: defineCommand({
      meta: { name: "volume", description: descriptions.volume },
      args: { dir: { type: "positional", required: false, description: "folder of the values; made when missing" } },
      run: ({ args }) => runVolume(args._, { environment, stop }),
    }),
  };
  const description = "A distributed key-value store for blobs: a master, nginx volumes";
  const meta = { name: "mkv", version: pkg.version, description };
  return { named, root: defineCommand({ meta, args: flags as ArgsDef, subCommands: named }) };
}

function say(text: string): number {
  console.log(process.stdout.isTTY ? text : Bun.stripANSI(text));
  return 0;
}
