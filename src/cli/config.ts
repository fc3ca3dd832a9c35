// Owns the settings: every flag checked once, with one clear line for what is wrong.
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { isServerName, isVolumeName } from "../format/volume";
import { limits } from "../limits";
import { type LinkSettings } from "../volumes/signer";
import { type FlagName } from "./flags";
import { readLinkKey } from "./link-key";

/** The settings of the commands that work on a store. Times in milliseconds. */
export type Config = {
  /** Folder of the index; none if a master is asked instead. */
  readonly db: string;
  /** URL of the master that a job works through. */
  readonly master: string | undefined;
  readonly topology: Topology;
  /** Whether `-subvolumes` was given. */
  readonly hasSubvolumes: boolean;
  readonly port: number;
  /** Address to listen on; undefined for all. */
  readonly bind: string | undefined;
  readonly threads: number;
  readonly minreplicas: number;
  readonly fallback: string | undefined;
  readonly protect: boolean;
  readonly md5sum: boolean;
  /** Whether a redirect rests on the answer of the volume about the key, or on its health alone. */
  readonly probe: "key" | "volume";
  readonly voltimeoutMs: number;
  readonly stalltimeoutMs: number;
  readonly clienttimeoutMs: number;
  readonly sync: boolean;
  /** How long an old copy stays after a move, where the new ones cannot be synced. */
  readonly graceMs: number;
  readonly basicAuth: boolean;
  /** Whether everybody may come in, though the volumes ask for credentials. */
  readonly open: boolean;
  /** Value of an `Authorization` header. */
  readonly credentials: string | undefined;
  /** The key that redirects are signed with, and how long they hold. */
  readonly link: LinkSettings | undefined;
  readonly verbose: boolean;
  readonly depth: "length" | "md5";
  /** Bytes a second that verify reads at most; 0 is no limit. */
  readonly bytesPerSecond: number;
  readonly repair: boolean;
  readonly removeOrphans: boolean;
};

/** Flags as citty hands them over. */
export type Flags = Readonly<Partial<Record<FlagName, string | boolean>>>;

/** The settings that these flags and this environment make. Throws MkvError usage. */
export function readConfig(flags: Flags, environment: Readonly<Record<string, string | undefined>>): Config {
  const text = (name: FlagName) => (typeof flags[name] === "string" && flags[name] !== "" ? flags[name] : undefined);
  const master = readMaster(text("master"));
  const db = text("db") ?? (master && "");
  if (db === undefined) throw wrong("-db is missing: the folder of the index, as in -db /var/lib/mkv/indexdb");
  const volumes = readVolumes(text("volumes"));
  const replicas = readNumber("replicas", text("replicas"), { from: 1, to: 100 });
  if (replicas > volumes.length) {
    throw wrong(
      `-replicas ${replicas} needs as many volumes, -volumes names ${volumes.length}: add volumes or lower -replicas`,
    );
  }
  const bind = text("bind");
  if (bind !== undefined && !isAddress(bind))
    throw wrong(`-bind is an address of this machine, such as 127.0.0.1, not "${bind}"`);
  const fallback = text("fallback");
  if (fallback !== undefined && !isServerName(fallback)) throw wrong(`-fallback is host:port, not "${fallback}"`);
  return {
    db: db && resolve(db),
    master,
    topology: {
      volumes,
      replicas,
      subvolumes: readNumber("subvolumes", text("subvolumes") ?? "10", { from: 1, to: 65_536 }),
    },
    hasSubvolumes: text("subvolumes") !== undefined,
    port: readNumber("port", text("port"), { from: 0, to: 65_535 }),
    bind,
    minreplicas: readNumber("minreplicas", text("minreplicas") ?? String(replicas), { from: 1, to: replicas }),
    threads: readNumber("threads", text("threads") ?? String(threadsThatPay()), { from: 1, to: limits.threads }),
    fallback,
    protect: flags.protect === true,
    md5sum: flags.md5sum !== false,
    probe: readProbe(text("probe")),
    voltimeoutMs: readDuration("voltimeout", text("voltimeout")),
    stalltimeoutMs: readDuration("stalltimeout", text("stalltimeout")),
    clienttimeoutMs: readDuration("clienttimeout", text("clienttimeout")),
    sync: flags.sync === true,
    graceMs: text("grace") === "0" ? 0 : readDuration("grace", text("grace")),
    basicAuth: flags.basicauth === true,
    open: flags.open === true,
    credentials: readUserPass(text("userpass") ?? environment["MKV_USERPASS"]),
    link: readLink(text("linkkey"), readDuration("linkttl", text("linkttl"))),
    verbose: flags.v === true,
    depth: flags.md5 === true ? "md5" : "length",
    bytesPerSecond: readNumber("rate", text("rate"), { from: 0, to: 1_000_000 }) * 1e6,
    repair: flags.repair === true,
    removeOrphans: flags.orphans === true,
  };
}

/** Throws MkvError usage for a server that would do for strangers what the volumes do for those with a password alone. */
export function requireGuarded({ credentials, basicAuth, link, open }: Config): void {
  if (credentials === undefined || basicAuth || link || open) return;
  const door = "with -userpass (or MKV_USERPASS) alone, whoever reaches this server may read and delete everything";
  throw wrong(`${door}: add -basicauth or -linkkey, or -open if that is meant`);
}

function readLink(file: string | undefined, ttlMs: number): LinkSettings | undefined {
  return file === undefined ? undefined : { key: readLinkKey(file), ttlMs };
}

/** Whether this looks like an address of this machine; whether it is one, the system says. */
function isAddress(text: string): boolean {
  return /^(localhost|\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*)$/i.test(text);
}

function readVolumes(text: string | undefined): string[] {
  if (text === undefined) throw wrong("-volumes is missing: the volume servers, as in -volumes host1:3001,host2:3001");
  const volumes = text.split(",");
  for (const volume of volumes) {
    if (!isVolumeName(volume)) throw wrong(`-volumes: "${volume}" is not host:port or host:port/path`);
  }
  const twice = volumes.find((volume, i) => volumes.indexOf(volume) !== i);
  if (twice !== undefined) throw wrong(`-volumes names ${twice} twice`);
  return volumes;
}

function readProbe(text: string | undefined): Config["probe"] {
  if (text === "key" || text === "volume") return text;
  throw wrong(`-probe is key or volume, not "${text ?? ""}"`);
}

function readMaster(text: string | undefined): string | undefined {
  if (text === undefined || /^https?:\/\/[^/?#@]+\/?$/.test(text)) return text;
  throw wrong(`-master is a URL such as http://localhost:3000, not "${text}"`);
}

function readNumber(name: FlagName, text: string | undefined, { from, to }: { from: number; to: number }): number {
  const number = /^\d{1,9}$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw wrong(`-${name} is a whole number from ${from} to ${to}, not "${text ?? ""}"`);
}

const unitMs: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a duration as Go writes it: `1s`, `500ms`, `1m30s`. */
function readDuration(name: FlagName, text: string | undefined): number {
  if (/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text ?? "")) {
    let ms = 0;
    for (const [, number, unit] of text!.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
      ms += Number(number) * unitMs[unit!]!;
    if (ms > 0 && ms <= 24 * unitMs["h"]!) return Math.max(ms, 1);
  }
  throw wrong(`-${name} is a duration such as 1s, 500ms or 1m30s, at most 24h, not "${text ?? ""}"`);
}

function readUserPass(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^[^:]+:/.test(text)) throw wrong("-userpass (or MKV_USERPASS) is user:password");
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

function wrong(line: string): MkvError {
  return new MkvError("usage", line);
}

/** Half the cores: the kernel, LevelDB and collectors of garbage take as much again of what a thread does. */
function threadsThatPay(): number {
  return Math.min(Math.max(1, Math.floor(availableParallelism() / 2)), 8);
}
