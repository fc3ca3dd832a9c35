// Owns the settings: every flag checked once, and what they say together.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { type LinkSettings } from "../volumes/signer";
import { askTopology } from "../jobs/master";
import { type CommandName, type Flag, type FlagName, flags, goFlags } from "./flags";
import { type Kind, type LedgerPlace } from "./kinds";
import { readLinkKey } from "./secrets";

/** Who knows the keys: a ledger that is ours to open, in a folder or in a database, or a master that runs. */
export type Source = LedgerPlace | { readonly kind: "master"; readonly url: string };

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

export type Environment = Readonly<Record<string, string | undefined>>;

/** Flags as they were given: the text, and where, as in `-port` or `MKV_PORT`. */
export type Given = Readonly<Partial<Record<FlagName, { readonly text: string; readonly from: string }>>>;

/**
 * The flags of a command line, and those that its environment adds: `MKV_PORT` is `-port`. An empty variable is as none.
 * A ledger or a master that was typed stands before the other of the two in the environment.
 */
export function flagsGiven(
  command: CommandName,
  typed: Readonly<Partial<Record<FlagName, string>>>,
  environment: Environment,
): Given {
  const given: { -readonly [N in FlagName]?: { text: string; from: string } } = {};
  for (const [name, { by }] of Object.entries<Flag>(flags) as [FlagName, Flag][]) {
    const variable = variableOf(name);
    const [text, set] = [typed[name], environment[variable]];
    if (text !== undefined) given[name] = { text, from: `-${name}` };
    else if (set && (by.includes(command) || goFlags.has(name))) given[name] = { text: set, from: variable };
  }
  if (typed.db !== undefined && typed.master === undefined) delete given.master;
  if (typed.master !== undefined && typed.db === undefined) delete given.db;
  return given;
}

/** The variable that stands for a flag. */
export function variableOf(name: string): string {
  return `MKV_${name.toUpperCase().replaceAll("-", "_")}`;
}

/**
 * The settings that these flags make, with what the master says of its store, if one is to be asked.
 * @param options.volumes whether the command does without the volumes: their list is empty if none are named
 * @param options.source whether the command can ask a master instead of opening a ledger
 * @throws MkvError usage; failed, timeout if the master cannot be asked
 */
export async function readConfig(
  given: Given,
  options: { volumes: "needed" | "optional"; source: "any" | "db" } = { volumes: "needed", source: "db" },
): Promise<Config> {
  const settings = readSettings(given);
  const { db, master, volumes = [], replicas, linkkey, ...others } = settings;
  const named = (name: FlagName) => given[name]?.from ?? `-${name}`;
  const source = master === undefined ? db : ({ kind: "master", url: master } as const);
  if (source === undefined) {
    const text = "-db is missing (or MKV_DB): the folder of the index, as in -db /var/lib/mkv/indexdb";
    throw wrong(options.source === "db" ? text : `${text}; while a master runs, -master http://localhost:3000`);
  }
  const own = { volumes, replicas, subvolumes: settings.subvolumes ?? 10 };
  const topology = master === undefined ? own : await learn(master, { given, settings });
  const count = topology.volumes.length;
  if (count === 0 && options.volumes === "needed")
    throw wrong("-volumes is missing (or MKV_VOLUMES): the volume servers, as in -volumes host1:3001,host2:3001");
  if (count > 0 && topology.replicas > count) {
    const needs = `${named("replicas")} ${topology.replicas} needs as many volumes`;
    throw wrong(`${needs}, ${named("volumes")} names ${count}: add volumes or lower -replicas`);
  }
  if (settings.s3port !== 0 && settings.s3keys === undefined)
    throw wrong("-s3port needs -s3keys: a file with lines ACCESSKEY:SECRET, which only its owner may read");
  if (settings.s3port === 0 && settings.s3keys !== undefined) throw wrong("-s3keys is of no use without -s3port");
  if (settings.s3port === 0 && settings.s3domain !== undefined) throw wrong("-s3domain is of no use without -s3port");
  if (settings.s3port !== 0 && !settings.md5sum) throw wrong("-s3port needs MD5s: leave out -md5sum=false");
  const ports = [settings.port, settings.adminport, settings.s3port].filter((port) => port !== 0);
  if (new Set(ports).size < ports.length) throw wrong("-port, -adminport and -s3port must differ: name another port");
  const minreplicas = settings.minreplicas ?? topology.replicas;
  if (minreplicas > topology.replicas)
    throw wrong(`${named("minreplicas")} is a whole number from 1 to ${topology.replicas}, not "${minreplicas}"`);
  const link = linkkey === undefined ? undefined : { key: readLinkKey(linkkey), ttlMs: settings.linkttl };
  return { ...others, source, topology, minreplicas, link };
}

/** What the master says of its store. Throws MkvError usage for a flag that says something else of it. */
async function learn(master: string, { given, settings }: { given: Given; settings: Settings }): Promise<Topology> {
  const told = await askTopology(master, settings.userpass);
  for (const name of ["volumes", "replicas", "subvolumes"] as const) {
    const [asked, has] = [String(settings[name]), String(told[name])];
    if (isSet(given, name) && sorted(asked) !== sorted(has))
      throw wrong(`${given[name]!.from} ${asked} is not what the master has, ${has}: leave it out`);
  }
  return told;
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

/** The URL of the admin port. Throws MkvError usage. */
export function adminOf(given: Given): string {
  const { admin } = readSettings(given);
  if (admin !== undefined) return admin;
  throw wrong("-admin is missing (or MKV_ADMIN): the admin port of the master, as in -admin http://localhost:3100");
}

/** Whether this was asked for, whatever the other flags are. Throws MkvError usage. */
export function isAskedFor(given: Given, name: "json" | "dry-run"): boolean {
  return given[name] !== undefined && flags[name].is.parse(given[name].text, given[name].from);
}

function readSettings(given: Given): Settings {
  const read = ([name, flag]: [string, Flag]) => {
    const { text, from } = given[name as FlagName] ?? { text: "", from: "" };
    const used = isSet(given, name as FlagName) ? text : flag.default;
    return [name, used === undefined ? undefined : flag.is.parse(used, from)];
  };
  return Object.fromEntries(Object.entries<Flag>(flags).map(read)) as Settings;
}

/** Whether a flag was given. An empty text is as none, where there is no default. */
function isSet(given: Given, name: FlagName): boolean {
  const { default: fallback }: Flag = flags[name];
  return given[name] !== undefined && (given[name].text !== "" || fallback !== undefined);
}

function wrong(line: string): MkvError {
  return new MkvError("usage", line);
}
