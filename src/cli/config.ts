// Owns the settings: every flag checked once, and what they say together.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { type LinkSettings } from "../volumes/signer";
import { type Flag, type FlagName, flags } from "./flags";
import { type Kind } from "./kinds";
import { readLinkKey } from "./link-key";

/** Who knows the keys: a ledger that is ours to open, or a master that runs. */
export type Source =
  { readonly kind: "ledger"; readonly db: string } | { readonly kind: "master"; readonly url: string };

type ValueOf<F> = F extends { is: Kind<infer T> } ? (F extends { default: string } ? T : T | undefined) : never;

/** The flags by their names; durations in milliseconds. */
type Settings = { readonly [N in FlagName]: ValueOf<(typeof flags)[N]> };

/** The settings of the commands that work on a store. */
export type Config = Omit<Settings, "db" | "master" | "volumes" | "replicas" | "linkkey"> & {
  readonly source: Source;
  readonly topology: Topology;
  readonly minreplicas: number;
  /** The key that redirects are signed with, and how long they hold. */
  readonly link: LinkSettings | undefined;
};

type Environment = Readonly<Record<string, string | undefined>>;

/** The settings that these flags, as they were typed, and this environment make. Throws MkvError usage. */
export function readConfig(given: Partial<Record<FlagName, string>>, environment: Environment): Config {
  const settings = readSettings(given, environment);
  const { db, master, volumes, replicas, linkkey, ...others } = settings;
  const source = master !== undefined ? ({ kind: "master", url: master } as const) : ledgerAt(db);
  if (volumes === undefined)
    throw wrong("-volumes is missing: the volume servers, as in -volumes host1:3001,host2:3001");
  if (replicas > volumes.length) {
    throw wrong(
      `-replicas ${replicas} needs as many volumes, -volumes names ${volumes.length}: add volumes or lower -replicas`,
    );
  }
  const minreplicas = settings.minreplicas ?? replicas;
  if (minreplicas > replicas) throw wrong(`-minreplicas is a whole number from 1 to ${replicas}, not "${minreplicas}"`);
  return {
    ...others,
    source,
    topology: { volumes, replicas, subvolumes: settings.subvolumes ?? 10 },
    minreplicas,
    link: linkkey === undefined ? undefined : { key: readLinkKey(linkkey), ttlMs: settings.linkttl },
  };
}

/** Throws MkvError usage for a server that would do for strangers what the volumes do for those with a password alone. */
export function requireGuarded({ userpass, basicauth, link, open }: Config): void {
  if (userpass === undefined || basicauth || link || open) return;
  const door = "with -userpass (or MKV_USERPASS) alone, whoever reaches this server may read and delete everything";
  throw wrong(`${door}: add -basicauth or -linkkey, or -open if that is meant`);
}

/** The folder of the index. Throws MkvError usage if a master is asked instead. */
export function dbOf({ source }: Config): string {
  if (source.kind === "ledger") return source.db;
  throw wrong("this works on -db alone, not through -master");
}

function ledgerAt(db: string | undefined): Source {
  if (db === undefined) throw wrong("-db is missing: the folder of the index, as in -db /var/lib/mkv/indexdb");
  return { kind: "ledger", db };
}

/** Each flag for itself. An empty text is as none, where there is no default. */
function readSettings(given: Partial<Record<FlagName, string>>, environment: Environment): Settings {
  const read = ([name, flag]: readonly [string, Flag]) => {
    const typed = given[name as FlagName];
    const [text, from] =
      typed === undefined
        ? [name === "userpass" ? environment["MKV_USERPASS"] : undefined, "MKV_USERPASS"]
        : [typed, `-${name}`];
    const isGiven = text !== undefined && (text !== "" || flag.default !== undefined);
    const used = isGiven ? text : flag.default;
    return [name, used === undefined ? undefined : flag.is.parse(used, from)];
  };
  return Object.fromEntries(Object.entries<Flag>(flags).map(read)) as Settings;
}

function wrong(line: string): MkvError {
  return new MkvError("usage", line);
}
