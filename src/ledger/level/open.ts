// Owns the opening of the ledger over LevelDB: one process at a time, nothing taken for what it is not, and what an earlier
// process left understood before anybody asks.
// 1. The lock beside the index comes first, and goes last.
// 2. A swap that a crash cut short is finished; a damaged index is refused and left as it is; a new one is made only where
//    nothing says that there was one.
// 3. Three are asked whether the index lacks anything: what is remembered beside it, what the volumes have noted, the journals
//    (`remembered.ts`). While that is in doubt nothing is removed.
// 4. The journals are read against the index (`replay.ts`). A crash up to here leaves a start that is made once more.
// 5. It is remembered that the index is open. A crash from here on is noticed by the next start.
import { basename } from "node:path";
import { nowMs } from "../../clock";
import { MkvError } from "../../errors";
import { type Epoch, after, furtherThan, furthest } from "../../format/epoch";
import { limits } from "../../limits";
import { counted, log, warn } from "../../log";
import { type Age, type Ledger, type NoteEpoch, type Opened, type Surroundings, entriesOf } from "../ledger";
import { type LevelMemory, memoryOf, joinMemory, openMemory, requireUnlocked } from "./memory";
import { epochOf, setEpoch } from "./durable";
import { lockForGo } from "./go-lock";
import { inspectPlace } from "./inspect";
import { Journal, journalsOf } from "./journal";
import { type LevelShared, levelLedger } from "./ledger";
import { factsOf, openFacts, openLevelIndex, requireWholeFacts } from "./leveldb";
import { KeyLocks } from "./locks";
import { type Suspect, bothSuspect, judgeByJournals, judgeIndex, rememberIndex, rememberOlder } from "./remembered";
import { remembered, wholeUntil } from "./remembered";
import { LineNumbers, noteReached, reachedName } from "./reached";
import { readJournals, removeDone, replay } from "./replay";
import { isMountPoint } from "./swap";
import { rememberUnpaid } from "./unpaid";

type LevelOptions = Surroundings & {
  readonly sync: boolean;
  /** How long strays stay that an earlier process has left. */
  readonly graceMs: number;
  /** Is told of the first write that failed: the process must end. */
  readonly onBroken?: (error: MkvError) => void;
};

/**
 * Opens what is remembered beside an index that is lost or damaged; undefined if there is one.
 * @throws MkvError failed: in use
 */
export async function openWithoutIndex(path: string): Promise<LevelMemory | undefined> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openMemory(path));
  if (inspectPlace(path).kind === "whole") return undefined;
  await requireUnlocked(path);
  undo.move();
  return memory;
}

/** Opens the ledger for the first thread of a process. Throws MkvError failed. */
export async function openLevelLedger(path: string, options: LevelOptions): Promise<Opened<LevelShared>> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openMemory(path, options));
  const found = await requireWhole(path);
  const unseen = found.kind === "none" ? await requireNoTrace(path, memory, options) : undefined;

  const before = remembered(memory);
  const isAlone = warnIfAlone(path, memory);
  const asked = await options.seenEpochs();
  const seen = asked ?? [];
  const known = await judgeIndex(memory, path, { found, seen });
  const wholeMs = found.kind === "none" ? undefined : await wholeUntil(memory, path);
  const journals = readJournals(path);
  const index = undo.use(await openLevelIndex(path, { ...options, make: found.kind === "none" }));
  if (found.kind === "none") lockForGo(path);
  const doubt = known?.isCertain ? known : ((await judgeByJournals(memory, { found, index, journals })) ?? known);

  const facts = undo.use(await openFacts(path, { ...options, make: true }));
  const inDoubt = doubt !== undefined;
  if (inDoubt) await rememberUnpaid(memory, journals); // Before the journals are begun anew.
  const { inherited, redone, doubtful, barred } = await replay(index, journals, { ...options, inDoubt });
  const suspect = bothSuspect(before?.suspect, doubt?.isCertain || redone > 0 ? doubt?.suspect : unseen);
  if (doubt) {
    warn(
      `${path} may lack what was acknowledged last (${doubt.why}): ${counted(redone, "key")} brought up to date ` +
        `from the journal; for ${doubtful} whose work was not finished nothing is removed; "mkv rebuild" finds what is missing`,
    );
  }
  const shared: LevelShared = {
    age: ageBy(suspect),
    locks: KeyLocks.share(),
    numbers: LineNumbers.share(journals.last),
    barred,
    barredUntilMs: nowMs() + limits.fenceOverMs,
  };
  const isOlder = shared.age === "older";
  const numbers = new LineNumbers(shared.numbers);
  const journal = new Journal(path, { ...options, thread: 0, inherited, floor: journals.last, numbers });
  const noting = await noteReached(memory, numbers); // First: with this run the lines may be counted anew.
  const passed = isOlder ? furthest(before?.passed ?? epochOf(path), seen) : undefined;
  const state = { isSynced: options.sync, suspect, passed };
  const isUnknown = !before && found.kind === "whole";
  await rememberIndex(memory, path, { ...state, isClosed: false });

  let [isClean, isWhole] = [true, asked !== undefined && !isOlder];
  const onClosed = async () => {
    noting[Symbol.dispose]();
    await rememberIndex(memory, path, { ...state, isClosed: isClean }, isWhole ? Date.now() : wholeMs);
    if (isClean) {
      removeDone(path);
      await memory.put(reachedName, readJournals(path).last);
    }
    await memory[Symbol.asyncDispose]();
  };
  const onWhole = () => void (isWhole = true);
  undo.move(); // Nothing is to be undone any more.
  const ledger = levelLedger({ path, index, facts, journal, memory, numbers, shared, onClosed });
  return {
    ledger,
    shared,
    abandon: () => void (isClean = false),
    noteEpoch: epochsOf({ path, memory, numbers, isUnknown, onWhole }, isOlder ? { passed } : undefined),
    leftOn: [...barred.values()].flat(),
    hasCrashed: before?.isClosed === false || isAlone || (!before && inherited.length > 0),
  };
}

/** What lies there: an index that is not damaged, or none. Throws MkvError failed. */
async function requireWhole(path: string) {
  const found = inspectPlace(path);
  if (found.kind === "damaged") {
    await requireUnlocked(path);
    const text = `the index ${path} is damaged (${found.why}): nothing was changed; run rebuild`;
    throw new MkvError("failed", text);
  }
  requireWholeFacts(path);
  return found;
}

function ageBy(suspect: Suspect | undefined): Age {
  if (!suspect) return "current";
  return suspect.isNew ? "incomplete" : "older";
}

/** Whether an index that mkv has served was moved or copied without what lay beside it: that is told. */
export function warnIfAlone(path: string, memory: LevelMemory): boolean {
  if (remembered(memory) || !epochOf(path)) return false;
  const rest = [memoryOf(path), factsOf(path), `${path}.journal-*`].map((each) => basename(each)).join(", ");
  warn(
    `${path} was moved or copied without what lay beside it: unless you moved that away, stop this, put ${rest} beside it, start again; ` +
      "without them S3 attributes are lost, and what was deleted while a volume was down may come back",
  );
  return true;
}

/**
 * The count goes on with the first call, and with each before which something was written; not of an older index. One that mkv
 * has not served is another one if the volumes have come any way.
 * @param older how far the volumes had come, of which such a one lacks some
 */
function epochsOf(
  {
    path,
    memory,
    numbers,
    isUnknown,
    onWhole,
  }: { path: string; memory: LevelMemory; numbers: LineNumbers; isUnknown: boolean; onWhole(): void },
  older: { readonly passed: Epoch | undefined } | undefined,
): NoteEpoch {
  let now = older ? older.passed : epochOf(path);
  let last: number | undefined;
  return async (seen, note) => {
    const further = now || !isUnknown ? furtherThan(now, seen) : furthest(undefined, seen);
    if (further) await rememberOlder(memory, further);
    if (further || older) return further ? ahead : undefined;
    onWhole();
    if (!note) return undefined;
    if (numbers.reached !== last) [now, last] = [setEpoch(path, after(furthest(now, seen))), numbers.reached];
    await note(now!);
    return undefined;
  };
}

const ahead =
  "the index is older than the volumes: a copy was put back, or a master over another index writes to them: " +
  "end that one for good (systemctl disable --now mkv-master on its machine), start again";

/** Opens the same ledger for another thread, with what the first one shares. Throws MkvError failed. */
export async function joinLevelLedger(
  path: string,
  { shared, thread, ...options }: Pick<LevelOptions, "sync" | "onBroken"> & { shared: LevelShared; thread: number },
): Promise<Ledger> {
  const memory = await joinMemory(path, options);
  const index = await openLevelIndex(path, options);
  const facts = await openFacts(path, options);
  const numbers = new LineNumbers(shared.numbers);
  const journal = new Journal(path, { ...options, thread, numbers });
  const onClosed = async () => await memory[Symbol.asyncDispose]();
  return levelLedger({ path, index, facts, journal, memory, numbers, shared, onClosed });
}

/**
 * Throws MkvError failed if there is a trace of an index: a missing one is not an empty one.
 * @returns files that it may lack, if not all volumes could be looked at
 */
async function requireNoTrace(
  path: string,
  memory: LevelMemory,
  { onMissing }: LevelOptions,
): Promise<Suspect | undefined> {
  const [journal] = journalsOf(path);
  if (journal) {
    throw new MkvError("failed", `there is no index at ${path}, but its journal ${journal}: run rebuild first`);
  }
  const { isSure } = await onMissing(memory.get("index") !== undefined);
  for await (const [name] of entriesOf(memory, "")) await memory.delete(name);
  log(`a new index is made at ${path}`);
  if (isMountPoint(path))
    warn(`${path} is a mount point: no rebuild or import can be made there, only in a folder in it`);
  return isSure ? undefined : { fromMs: 0, isNew: true };
}
