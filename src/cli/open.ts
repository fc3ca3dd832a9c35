// Owns the putting together of a store out of settings: the ledger, the volumes, who they are; for each thread.
import { MkvError } from "../errors";
import { type Ledger, type NoteEpoch } from "../ledger/ledger";
import { WriteDates } from "../store/dates";
import { epochsSoon } from "../store/places/epochs";
import { Buckets } from "../store/buckets";
import { Hints } from "../store/hints";
import { Places } from "../store/places/places";
import { type Store } from "../store/store";
import { keepTopology } from "../store/places/topology";
import { requireNoValues } from "../store/places/no-values";
import { type Watch, distrust, followRenamed, watchPlaces } from "../store/places/watch";
import { Volumes } from "../volumes/volumes";
import { type Config } from "./config";
import { type LedgerKind, type SharedLedger, ledgerAt, stopNow } from "./ledgers";

type Purpose = "server" | "rebalance" | "verify";

/** What the threads of a process share. */
export type Shared = {
  readonly volumes: SharedArrayBuffer;
  readonly dates: SharedArrayBuffer;
  readonly hints: SharedArrayBuffer;
  readonly buckets: SharedArrayBuffer;
  readonly renamed: ReadonlyMap<string, string>;
  readonly ledger: SharedLedger;
};

/** A store that was opened; disposing of it closes its ledger. */
export type OpenedStore = AsyncDisposable & {
  readonly store: Store;
  readonly shared: Shared;
  /** What looks after the volumes, for `maintain`. */
  readonly watch: Watch;
  /** The process does not end well: what it has not finished is not taken for done. */
  abandon(): void;
};

/** Access to the volumes as these settings want it. */
export function accessVolumes(config: Config, shared?: SharedArrayBuffer): Volumes {
  const { topology, voltimeout, stalltimeout, sync, userpass: credentials, link } = config;
  const settings = { voltimeoutMs: voltimeout, stalltimeoutMs: stalltimeout, sync, credentials, link };
  return Volumes.of(topology, settings, shared);
}

/**
 * Opens the store of these settings for the first thread of a process.
 * @param options.purpose a server may make a new index, and keeps to what the store looked like; a rebalance may change that
 * @throws MkvError failed
 */
export async function openStore(config: Config, { purpose }: { purpose: Purpose }): Promise<OpenedStore> {
  const health = Volumes.share(config.topology);
  const volumes = accessVolumes(config, health);
  const kind = ledgerAt(config);
  const onMissing = async (hadOne: boolean) => {
    if (purpose !== "server") throw noIndex(kind);
    return await requireNoValues(volumes, { db: kind.shown, hadOne });
  };
  await using undo = new AsyncDisposableStack();
  const changes = mayChange(config, purpose);
  const seenEpochs = async () => (changes ? await epochsSoon(volumes) : undefined);
  const opened = await kind.open({ onMissing, seenEpochs });
  const ledger = undo.use(opened.ledger);
  if (changes) await keepTopology(ledger, config.topology, { by: purpose, isTold: config.subvolumes !== undefined });
  const watch = await watchPlaces(volumes, ledger.memory, {
    takeTurn: opened.takeTurn,
    noteEpoch: changes ? orEnd(opened.noteEpoch) : undefined,
    gives: changes ? "ids" : "nothing",
  });
  const { renamed } = watch;
  distrust(volumes, opened, renamed);
  const dates = await WriteDates.share(ledger.memory);
  const shared = {
    volumes: health,
    dates,
    hints: Hints.share(),
    buckets: Buckets.share(),
    renamed,
    ledger: opened.shared,
  };
  const store = storeOf(config, { shared, ledger, volumes, dates: new WriteDates(ledger.memory, dates, 0) });
  undo.move(); // Nothing is to be undone any more.
  return { store, shared, watch, abandon: opened.abandon, [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose]() };
}

/**
 * Whether anything may be removed or written on volumes, what is owed among it. What only looks may do so over a copy of the
 * index, while a master serves the volumes, or over one that was put back.
 */
export function mayChange({ repair, orphans, "dry-run": dryRun }: Config, purpose: Purpose): boolean {
  return !dryRun && (purpose !== "verify" || repair || orphans);
}

/** Compares and notes how far a ledger has come, and ends the process where it lacks something. */
function orEnd(noteEpoch: NoteEpoch): NoteEpoch {
  return async (seen, note) => {
    const why = await noteEpoch(seen, note);
    return why === undefined ? undefined : stopNow(why);
  };
}

/** The failure of what needs an index where there is none. */
export function noIndex({ shown }: LedgerKind): MkvError {
  return new MkvError("failed", `there is no index at ${shown}: run rebuild first`);
}

/** Opens the same store for another thread. Throws MkvError failed. */
export async function joinStore(
  config: Config,
  { shared, number }: { shared: Shared; number: number },
): Promise<Store & AsyncDisposable> {
  const ledger = await ledgerAt(config).join({ shared: shared.ledger, number });
  const dates = new WriteDates(ledger.memory, shared.dates, number);
  const renamed = new Map(shared.renamed);
  followRenamed(renamed);
  const store = storeOf(config, {
    shared: { ...shared, renamed },
    ledger,
    volumes: accessVolumes(config, shared.volumes),
    dates,
  });
  return { ...store, [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose]() };
}

function storeOf(
  config: Config,
  { shared, ...parts }: { shared: Shared; ledger: Ledger; volumes: Volumes; dates: WriteDates },
): Store {
  const { topology, minreplicas, grace: graceMs, probe, md5sum, protect } = config;
  return {
    ...{ ...parts, topology, minreplicas, graceMs, probe, md5sum, protect },
    currentName: (name) => shared.renamed.get(name) ?? name,
    buckets: new Buckets(parts.ledger.memory, shared.buckets),
    hints: new Hints(parts.ledger.memory, shared.hints),
    places: new Places(parts.volumes),
  };
}
