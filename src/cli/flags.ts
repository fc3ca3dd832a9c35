// Owns the table of commands and flags: what each is, which commands use it, what it is if it is not given, what the help
// says. Command line, settings, help, man page and completions are made of it.
import { availableParallelism } from "node:os";
import { limits } from "../limits";
import {
  type Kind,
  address,
  count,
  credentials,
  daysOr0,
  duration,
  durationOr0,
  durationTo,
  file,
  hostName,
} from "./kinds";
import { ledger, oneOf, server, toggle, url, volumes } from "./kinds";

export const commands = {
  server: { words: "", summary: "serve the store: the master" },
  rebuild: { words: "", summary: "make the index anew from the volumes; the master must be stopped" },
  rebalance: { words: "", summary: "bring every key to the volumes where it belongs" },
  verify: { words: "", summary: "compare index and volumes, and with -repair heal what differs" },
  adopt: { words: "NAME...", summary: "accept disks that were replaced as the store's own, as in host:3001/sv03" },
  export: { words: "", summary: "write a backup of the index to standard output" },
  import: { words: "", summary: "make an index of the backup on standard input, where there is none" },
  status: { words: "", summary: "show how a master and its volumes are; exit code 1 if anything is wrong" },
  volume: { words: "DIR", summary: "serve a folder as a volume, with nginx" },
} as const;
export type CommandName = keyof typeof commands;

export type Flag<T = unknown> = {
  readonly is: Kind<T>;
  /** As it would be typed. Without it, a flag that is not given is undefined. */
  readonly default?: string;
  /** What the help says of the default, where that is not its text. */
  readonly shown?: string;
  /** The commands that use it. */
  readonly by: readonly CommandName[];
  readonly help: string;
};

const all = ["server", "rebuild", "rebalance", "verify", "adopt"] as const;
const opens = [...all, "export", "import"] as const;
const asks = ["rebalance", "verify", "adopt", "export"] as const;
const serves = ["server"] as const;
const verifies = ["verify"] as const;
const remembered = ["rebalance", "verify"] as const;

/** Half the cores: the kernel, LevelDB and collectors of garbage take as much again of what a thread does. */
const threadsThatPay = Math.min(Math.max(1, Math.floor(availableParallelism() / 2)), 8);

/** All flags, by the headings of the help: a table, laid out by hand. */
// prettier-ignore
export const groups = {
  Store: {
    db: { is: ledger, by: opens, help: "folder of the index, or postgres://USER@HOST/DATABASE; not with -master" },
    master: { is: url, by: asks, help: "work through this master while it runs, instead of on -db" },
    volumes: { is: volumes, by: all, help: "volumes, comma separated: host:port or host:port/path" },
    replicas: { is: count({ to: 100 }), default: "3", by: all, help: "copies of each value" },
    subvolumes: { is: count({ to: 65_536 }), shown: "10", by: all,
      help: "disks of a volume; with 1 there are no svXX folders" },
  },
  Serving: {
    port: { is: count({ from: 0, to: 65_535 }), default: "3000", by: serves,
      help: "port of the master; 0 lets the system choose" },
    bind: { is: address, shown: "all", by: serves, help: "address that the master listens on" },
    minreplicas: { is: count({ to: 100 }), shown: "as -replicas", by: serves,
      help: "fewest copies that may be acknowledged while volumes are down" },
    md5sum: { is: toggle, default: "true", by: serves, help: "compute and store the MD5 of values" },
    protect: { is: toggle, default: "false", by: serves, help: "a key must be unlinked before it can be deleted or replaced" },
    fallback: { is: server, by: serves, help: "server that missing keys are redirected to" },
    probe: { is: oneOf(["key", "volume"]), default: "key", by: serves,
      help: "before a redirect, ask the volume for the key, or trust the index and the volume's health" },
    adminport: { is: count({ from: 0, to: 65_535 }), default: "0", by: serves,
      help: "port of metrics, health, status and a page for people; 0 for none" },
    log: { is: oneOf(["plain", "json"]), default: "plain", by: serves, help: "how events are logged, on stderr" },
    s3port: { is: count({ from: 0, to: 65_535 }), default: "0", by: serves,
      help: "port that speaks S3, for those whom -s3keys names; 0 for none" },
    s3keys: { is: file, by: serves, help: "who may use the S3 port: lines ACCESSKEY:SECRET; read again on SIGHUP" },
    s3domain: { is: hostName, by: serves,
      help: "S3 requests to the host BUCKET.NAME are about that bucket, besides those to /BUCKET" },
    v: { is: toggle, default: "false", by: serves, help: "log every request" },
  },
  Running: {
    threads: { is: count({ to: limits.threads }), default: String(threadsThatPay), shown: "half the cores, 1 to 8", by: ["server", "rebuild"],
      help: "threads that serve, or rebuild" },
    voltimeout: { is: duration, default: "1s", by: all,
      help: "volumes that take longer to answer GET or HEAD count as down" },
    stalltimeout: { is: duration, default: "10s", by: all,
      help: "longest silence of a volume in the middle of a value" },
    // A volume gives up an upload that pauses for a minute: see `client_body_timeout` in the script `volume`.
    clienttimeout: { is: durationTo(50), default: "30s", by: serves,
      help: "longest silence of a client in the middle of a value" },
  },
  Durability: {
    sync: { is: toggle, default: "false", by: opens,
      help: "acknowledge only what is on the disks; needs volumes started by mkv volume" },
    grace: { is: durationOr0, default: "2m", by: opens,
      help: "how long an old copy stays after a move, where volumes cannot sync the new ones; 0 for not at all" },
  },
  Care: {
    scrub: { is: daysOr0, default: "0", by: serves,
      help: "read and compare every copy within this time, as in 30d, and mend what differs; 0 for not at all" },
    heal: { is: count({ from: 0, to: 1_000_000, word: "MB/S" }), default: "20", by: serves,
      help: "copy in the background what lacks copies, no faster than this; 0 for not at all" },
  },
  Security: {
    linkkey: { is: file, by: opens,
      help: "the secret that the volumes have as LINK_KEY: they serve what the master has signed" },
    linkttl: { is: duration, default: "1h", by: serves, help: "how long a redirect may be followed, under -linkkey" },
    basicauth: { is: toggle, default: "false", by: serves,
      help: "ask for basic authorization, which the volumes check" },
    open: { is: toggle, default: "false", by: serves,
      help: "let everybody in, though there are credentials for the volumes" },
    userpass: { is: credentials, by: opens,
      help: "credentials for the volumes; better in MKV_USERPASS, which ps does not show" },
  },
  Job: {
    md5: { is: toggle, default: "false", by: verifies, help: "read all copies and compare their MD5" },
    rate: { is: count({ from: 0, to: 1_000_000, word: "MB/S" }), default: "0", by: remembered,
      help: "verify reads, and rebalance copies, at most so much; 0 is no limit" },
    "dry-run": { is: toggle, default: "false", by: remembered,
      help: "change nothing, and say what -repair or a rebalance would do" },
    "from-start": { is: toggle, default: "false", by: remembered,
      help: "begin anew, not where the last one was killed" },
    json: { is: toggle, default: "false", by: ["rebuild", "rebalance", "verify", "import"],
      help: "say at the end in a line of JSON how it went" },
    repair: { is: toggle, default: "false", by: verifies, help: "heal what can be healed from a good copy" },
    orphans: { is: toggle, default: "false", by: verifies,
      help: "remove files that a verify has seen in no record an hour ago" },
    admin: { is: url, by: ["status"], help: "admin port of the master, as in http://host:3100" },
    latest: { is: toggle, default: "false", by: ["import"],
      help: "nothing was stored or deleted since the backup was made" },
  },
} as const satisfies Record<string, Record<string, Flag>>;

export const flags = {
  ...groups.Store,
  ...groups.Serving,
  ...groups.Running,
  ...groups.Durability,
  ...groups.Care,
  ...groups.Security,
  ...groups.Job,
} as const;
export type FlagName = keyof typeof flags;

/** What the Go program knows: every command takes these, as its own do, so that one set serves all of them. */
export const goFlags: ReadonlySet<FlagName> = new Set<FlagName>([
  ...(["db", "volumes", "port", "replicas", "subvolumes", "fallback"] as const),
  ...(["protect", "md5sum", "voltimeout", "basicauth", "userpass", "v"] as const),
]);
