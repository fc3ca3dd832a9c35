// Owns the command line: Go-style flags, anywhere, made into what citty reads, and citty's help made out of the same table.
import { type ArgsDef } from "citty";
import { MkvError } from "../errors";

/** All flags. Every command takes those of the Go program, as its own do; for others see `ownFlags`. */
export const flags = {
  db: {
    type: "string",
    valueHint: "path",
    description: "folder of the LevelDB index (required, but for jobs with -master)",
  },
  volumes: {
    type: "string",
    valueHint: "list",
    description: "volume servers, comma separated: host:port or host:port/path (required)",
  },
  port: {
    type: "string",
    valueHint: "n",
    default: "3000",
    description: "port of the master; 0 lets the system choose",
  },
  bind: { type: "string", valueHint: "address", description: "address that the master listens on (Default: all)" },
  replicas: { type: "string", valueHint: "n", default: "3", description: "replicas of each value" },
  minreplicas: {
    type: "string",
    valueHint: "n",
    description: "fewest replicas that may be acknowledged while volumes are down (Default: -replicas)",
  },
  subvolumes: { type: "string", valueHint: "n", description: "disks of a volume server (Default: 10)" },
  threads: {
    type: "string",
    valueHint: "n",
    description: "threads that serve, or rebuild (Default: half the cores, 1 to 8)",
  },
  fallback: { type: "string", valueHint: "host:port", description: "server that missing keys are redirected to" },
  protect: { type: "boolean", default: false, description: "a key must be unlinked before it can be deleted" },
  md5sum: { type: "boolean", description: "compute and store the MD5 of values (Default: true)" },
  voltimeout: {
    type: "string",
    valueHint: "duration",
    default: "1s",
    description: "volumes that take longer to answer GET or HEAD count as down",
  },
  probe: {
    type: "string",
    valueHint: "key|volume",
    default: "key",
    description: "before a redirect, ask the volume for the key, or trust the index and the volume's health",
  },
  stalltimeout: {
    type: "string",
    valueHint: "duration",
    default: "10s",
    description: "longest silence of a volume in the middle of a value",
  },
  clienttimeout: {
    type: "string",
    valueHint: "duration",
    default: "30s",
    description: "longest silence of a client in the middle of a value",
  },
  sync: {
    type: "boolean",
    default: false,
    description: "acknowledge only what is on the disks: needs volumes started by mkv volume",
  },
  grace: {
    type: "string",
    valueHint: "duration",
    default: "2m",
    description: "how long an old copy stays after a move, where volumes cannot sync the new ones",
  },
  basicauth: { type: "boolean", default: false, description: "ask for basic authorization, which the volumes check" },
  userpass: {
    type: "string",
    valueHint: "user:password",
    description: "credentials for the volumes; better in MKV_USERPASS, which ps does not show",
  },
  open: {
    type: "boolean",
    default: false,
    description: "let everybody in, though there are credentials for the volumes",
  },
  linkkey: {
    type: "string",
    valueHint: "file",
    description: "file with the secret that the volumes have as LINK_KEY: they serve what the master has signed",
  },
  linkttl: {
    type: "string",
    valueHint: "duration",
    default: "1h",
    description: "how long a redirect may be followed, under -linkkey",
  },
  master: {
    type: "string",
    valueHint: "url",
    description: "rebalance and verify: work through this master while it runs, not on -db",
  },
  md5: { type: "boolean", default: false, description: "verify: read all copies and compare their MD5" },
  rate: { type: "string", valueHint: "MB/s", default: "0", description: "verify: read at most so much; 0 is no limit" },
  repair: { type: "boolean", default: false, description: "verify: heal what can be healed from a good copy" },
  orphans: {
    type: "boolean",
    default: false,
    description: "verify: remove files older than an hour that are in no record",
  },
  v: { type: "boolean", default: false, description: "log every request" },
} as const satisfies ArgsDef;

export type FlagName = keyof typeof flags;

/** The flags that the Go program does not have, with the commands that use them. */
export const ownFlags: Readonly<Partial<Record<FlagName, readonly string[]>>> = {
  bind: ["server"],
  minreplicas: ["server"],
  threads: ["server", "rebuild"],
  probe: ["server"],
  stalltimeout: ["server", "rebuild", "rebalance", "verify", "adopt"],
  clienttimeout: ["server"],
  sync: ["server", "rebuild", "rebalance", "verify", "adopt"], // A store's: a rebuild of it is no mistake.
  grace: ["server", "rebuild", "rebalance", "verify", "adopt"],
  open: ["server"],
  master: ["rebalance", "verify", "adopt"],
  md5: ["verify"],
  rate: ["verify"],
  repair: ["verify"],
  orphans: ["verify"],
};

/** Throws MkvError usage for a flag that means nothing to the command of this line. */
export function requireUsed({ command, given }: CommandLine): void {
  for (const name of given) {
    const users = ownFlags[name];
    if (users === undefined || users.includes(command ?? "")) continue;
    throw new MkvError("usage", `${command} does not use -${name}, which is for ${users.join(", ")}: leave it out`);
  }
}

/** A command line, taken apart. */
export type CommandLine = {
  readonly help: boolean;
  readonly version: boolean;
  readonly command: string | undefined;
  /** The flags that were given. */
  readonly given: readonly FlagName[];
  /** What citty is given: positional arguments, then `--name=value`. */
  readonly args: readonly string[];
};

/**
 * Takes a command line apart: `-db x`, `--db x`, `-db=x`, `-protect`, `-protect=false`, before or after the command.
 * @throws MkvError usage for an unknown flag, a flag without its value, a boolean that is none
 */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const positional: string[] = [];
  const named: string[] = [];
  const given: FlagName[] = [];
  let [help, version] = [false, false];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") positional.push(...rest.splice(0));
    else if (!/^-./.test(word)) positional.push(word);
    else {
      const [, name, value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word)!;
      if (name === "h" || name === "help") help = true;
      else if (name === "version") version = true;
      else {
        named.push(`--${name}=${valueOf(name!, value, rest)}`);
        given.push(name as FlagName);
      }
    }
  }
  const [command, ...others] = positional;
  return { help, version, command, given, args: [...others, ...named] };
}

function valueOf(name: string, value: string | undefined, rest: string[]): string {
  if (!Object.hasOwn(flags, name)) throw new MkvError("usage", `unknown flag -${name}: see mkv --help`);
  if (flags[name as FlagName].type === "boolean") return String(readBoolean(name, value ?? "true"));
  const given = value ?? rest.shift();
  if (given === undefined) throw new MkvError("usage", `flag -${name} needs a value`);
  return given;
}

function readBoolean(name: string, text: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new MkvError("usage", `-${name} is true or false, not "${text}"`);
}
