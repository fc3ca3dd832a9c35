// Owns the settings: every flag checked once, and what they say together.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { type LinkSettings } from "../volumes/signer";
import { askTopology } from "../jobs/master";
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

/** Flags as they were typed. */
export type Given = Readonly<Partial<Record<FlagName, string>>>;

/**
 * The settings that these flags, as they were typed, and this environment make.
 * @param options.volumes whether the command does without the volumes: their list is empty if none are named
 * @throws MkvError usage
 */
export function readConfig(
  given: Given,
  environment: Environment,
  options: { volumes: "needed" | "optional" } = { volumes: "needed" },
): Config {
  const { settings } = readSettings(given, environment);
  const { db, master, volumes, replicas, linkkey, ...others } = settings;
  const source = master !== undefined ? ({ kind: "master", url: master } as const) : ledgerAt(db);
  if (volumes === undefined && options.volumes === "needed")
    throw wrong("-volumes is missing: the volume servers, as in -volumes host1:3001,host2:3001");
  if (volumes && replicas > volumes.length) {
    throw wrong(
      `-replicas ${replicas} needs as many volumes, -volumes names ${volumes.length}: add volumes or lower -replicas`,
    );
  }
  const minreplicas = settings.minreplicas ?? replicas;
  if (minreplicas > replicas) throw wrong(`-minreplicas is a whole number from 1 to ${replicas}, not "${minreplicas}"`);
  return {
    ...others,
    source,
    topology: { volumes: volumes ?? [], replicas, subvolumes: settings.subvolumes ?? 10 },
    minreplicas,
    link: linkkey === undefined ? undefined : { key: readLinkKey(linkkey), ttlMs: settings.linkttl },
  };
}

/**
 * The same flags with what the master says of its store, if one is to be asked.
 * @throws MkvError usage for a flag that says something else of it; failed, timeout if the master cannot be asked
 */
export async function learn(given: Given, environment: Environment): Promise<Given> {
  const { settings, origins } = readSettings(given, environment);
  if (settings.master === undefined) return given;
  const { volumes, replicas, subvolumes } = await askTopology(settings.master, settings.userpass);
  const told = { volumes: volumes.join(","), replicas: String(replicas), subvolumes: String(subvolumes) };
  for (const name of ["volumes", "replicas", "subvolumes"] as const) {
    const asked = String(settings[name]);
    const isSame = name === "volumes" ? sorted(asked) === sorted(told.volumes) : asked === told[name];
    if (!origins.has(name) || isSame) continue;
    throw wrong(`${origins.get(name)} ${asked} is not what the master has, ${told[name]}: leave it out`);
  }
  return { ...given, ...told };
}

function sorted(list: string): string {
  return list.split(",").sort().join();
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

/** Each flag for itself, and how it was given, if it was. An empty text is as none, where there is no default. */
function readSettings(
  given: Given,
  environment: Environment,
): { settings: Settings; origins: ReadonlyMap<string, string> } {
  const origins = new Map<string, string>();
  const read = ([name, flag]: readonly [string, Flag]) => {
    const typed = given[name as FlagName];
    const [text, from] =
      typed === undefined
        ? [name === "userpass" ? environment["MKV_USERPASS"] : undefined, "MKV_USERPASS"]
        : [typed, `-${name}`];
    const isGiven = text !== undefined && (text !== "" || flag.default !== undefined);
    if (isGiven) origins.set(name, from);
    const used = isGiven ? text : flag.default;
    return [name, used === undefined ? undefined : flag.is.parse(used, from)];
  };
  return { settings: Object.fromEntries(Object.entries<Flag>(flags).map(read)) as Settings, origins };
}

function wrong(line: string): MkvError {
  return new MkvError("usage", line);
}
