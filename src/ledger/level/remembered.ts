// Owns what is remembered of the index beside it, and the judgement by it: whether the index as it is found may lack what
// was acknowledged.
// 1. An index that was closed is found as it was left, or with a MANIFEST of a higher number, which each opening gives it:
//    the Go program's. Anything else is a copy, an older one. When each was closed is remembered, and how it looked then.
//    Of one that was not closed the journals tell.
// 2. A process that was not stopped leaves everything to the system's memory: what that lost with a restart of the machine,
//    or of its disk, nobody can tell, unless every write waited for the disk.
// 3. A doubt is remembered before the index is opened, which changes how it looks, until it has been acted upon.
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { bootId, mountId } from "../../boot";
import { type Epoch, furtherThan } from "../../format/epoch";
import { limits } from "../../limits";
import { shaped } from "../../shape";
import { type Memory, entriesOf } from "../ledger";
import { type LevelMemory } from "./memory";
import { epochOf } from "./durable";
import { type IndexState, inspectIndex } from "./inspect";
import { type LevelIndex } from "./leveldb";
import { type Lineage, isOfLine, lineageOf } from "./manifest";
import { reachedName } from "./reached";
import { type Journals, isOlder } from "./replay";

/** Files of which the index may say what was true of an earlier write: dated so, or later, in milliseconds of the wall. */
export type Suspect = {
  readonly fromMs: number;
  /** It is a new index: volumes that were not seen may have more. */
  readonly isNew?: true;
};

type Remembered = {
  /** Number of its MANIFEST; 0 for any. */
  readonly manifest: number;
  /** How it looked when it was closed; empty for anyhow. */
  readonly look: string;
  /** The files that it had then, where it is known. */
  readonly lineage?: Lineage | undefined;
  readonly boot: string;
  readonly mount: string;
  /** Whether the process that opened it has closed it. */
  readonly isClosed: boolean;
  /** Whether that process acknowledged nothing before it was on the disk. */
  readonly isSynced: boolean;
  /** Set while the index lacks what was acknowledged, until it is rebuilt. */
  readonly suspect?: Suspect | undefined;
  /** How far the volumes had come when that was found: its own EPOCH stays as it is meanwhile. */
  readonly passed?: Epoch | undefined;
  /** Set while it has not been acted upon. */
  readonly doubt?: Doubt | undefined;
};

/** Why the index may lack something, and what. It knows nothing of files that were written from `laterMs` on. */
type Doubt = {
  readonly why: string;
  readonly isCertain: boolean;
  readonly suspect: Suspect;
  readonly laterMs?: number;
};

/** What is remembered; nothing of an index that mkv has not opened yet. Where that is damaged, the index is in doubt. */
export function remembered(memory: LevelMemory): Remembered | undefined {
  const found = memory.get("index");
  return found === undefined ? undefined : (shaped<Remembered>(found, shape) ?? forgotten);
}

const suspectShape = { fromMs: 0, "isNew?": false };
const shape = {
  ...{ manifest: 0, look: "", boot: "", mount: "", isClosed: false, isSynced: false },
  "lineage?": { nextFile: 0, tables: [[0]] },
  "suspect?": suspectShape,
  "passed?": { store: "", count: 0 },
  "doubt?": { why: "", isCertain: false, suspect: suspectShape, "laterMs?": 0 },
};
const forgotten: Remembered = {
  ...{ manifest: 0, look: "", boot: "", mount: "", isClosed: false, isSynced: false },
  doubt: { why: "what was remembered of it is damaged", isCertain: true, suspect: { fromMs: 0 } },
};

/** What may change of it. */
type State = Pick<Remembered, "isClosed" | "isSynced" | "suspect" | "passed" | "doubt">;

/**
 * Remembers an index as it lies there now, at rest if it is closed.
 * @param wholeMs until when it had all that was acknowledged, as far as volumes say; without it no copy of it will be known by
 * its look
 */
export async function rememberIndex(memory: LevelMemory, path: string, state: State, wholeMs?: number): Promise<void> {
  const found = inspectIndex(path);
  const manifest = found.kind === "whole" ? found.manifest : 0;
  const look = state.isClosed ? lookOf(path) : "";
  const lineage = found.kind === "whole" ? lineageOf(found.says) : undefined;
  await memory.put("index", { ...placed(path), manifest, look, lineage, ...state } satisfies Remembered);
  if (!state.isClosed || wholeMs === undefined) return;
  await memory.put(`run ${String(Date.now()).padStart(15, "0")}`, { manifest, look, closedMs: wholeMs });
  const runs = await runsOf(memory);
  for (const { name } of runs.slice(0, -limits.runsRemembered)) await memory.delete(name);
}

/** Remembers, until it is opened anew, that an index which this process has open is older than the volumes. */
export async function rememberOlder(memory: LevelMemory, passed: Epoch): Promise<void> {
  const before = remembered(memory) ?? forgotten;
  const doubt = olderCopy(await runsOf(memory), before.manifest);
  await memory.put("index", { ...before, doubt, passed } satisfies Remembered);
}

/** Remembers that another index is about to take the place of this one, or just has: a new one, whatever it looks like. */
export async function rememberNew(
  memory: LevelMemory,
  path: string,
  state: Pick<State, "suspect" | "passed" | "doubt">,
): Promise<void> {
  const entry: Remembered = { ...placed(path), manifest: 0, look: "", isClosed: true, isSynced: true, ...state };
  await memory.put("index", entry);
}

/**
 * Whether the index may lack what was acknowledged; undefined if not. A doubt is remembered from now on.
 * @param seen how far the volumes say that their store has come
 */
export async function judgeIndex(
  memory: LevelMemory,
  path: string,
  { found, seen }: { found: IndexState; seen: readonly Epoch[] },
): Promise<Doubt | undefined> {
  const before = remembered(memory);
  const epoch = epochOf(path);
  const isLost = !epoch && found.kind === "damaged" && seen.length > 0;
  const areVolumesAhead = isLost || furtherThan(before?.passed ?? epoch, seen) !== undefined;
  if (!before) {
    const isOther = !epoch && found.kind === "whole" && seen.length > 0; // As the Go program's are, but mkv has served since.
    if (!areVolumesAhead && !isOther) return undefined;
    const doubt = areVolumesAhead ? olderCopy([], 0) : anotherIndex;
    await rememberNew(memory, path, { doubt });
    return doubt;
  }
  const doubt =
    before.doubt ??
    (await copyDoubt(memory, { path, found, before, areVolumesAhead })) ??
    restartDoubt(path, before, found);
  if (doubt) await memory.put("index", { ...before, doubt } satisfies Remembered);
  return doubt;
}

/**
 * The same by the journals, for an index without a doubt that has just been opened, and that nobody else has opened since a
 * process of mkv did not close it: they may know better, or may not have come as far as was noted. Of a damaged one it is
 * only known whether the journals are those of its end.
 * @param found how it was before it was opened
 */
export async function judgeByJournals(
  memory: LevelMemory,
  { found, index, journals }: { found: IndexState; index: LevelIndex | undefined; journals: Journals },
): Promise<Doubt | undefined> {
  const before = remembered(memory);
  const reached = shaped<number>(memory.get(reachedName), 0);
  if (!before || reached === undefined) return undefined;
  if (found.kind === "whole" && (before.isClosed || found.manifest !== before.manifest)) return undefined;
  const isCut = before.isClosed ? journals.last !== reached : journals.last < reached;
  if (!isCut && !(index && isOlder(index, journals))) return undefined;
  const doubt = olderCopy(await runsOf(memory), found.kind === "whole" ? found.manifest : 0);
  await memory.put("index", { ...before, doubt } satisfies Remembered);
  return doubt;
}

/** The files of both. */
export function bothSuspect(a: Suspect | undefined, b: Suspect | undefined): Suspect | undefined {
  if (!a || !b) return a ?? b;
  return { fromMs: Math.min(a.fromMs, b.fromMs), ...(a.isNew && b.isNew && { isNew: true }) };
}

/** How an index looked when it was closed, and until when it had all by then, which is that time or an earlier one. */
type Run = { readonly name: string; readonly manifest: number; readonly look: string; readonly closedMs: number };

async function runsOf(memory: Memory): Promise<Run[]> {
  const runs: Run[] = [];
  for await (const [name, found] of entriesOf(memory, "run ")) {
    const run = shaped<Omit<Run, "name">>(found, { manifest: 0, look: "", closedMs: 0 });
    if (run) runs.push({ ...run, name });
  }
  return runs;
}

/** Until when an index that is about to be opened had all that was acknowledged; undefined if that is not known. */
export async function wholeUntil(memory: Memory, path: string): Promise<number | undefined> {
  const look = lookOf(path);
  return (await runsOf(memory)).find((run) => run.look === look)?.closedMs;
}

async function copyDoubt(
  memory: LevelMemory,
  {
    path,
    found,
    before,
    areVolumesAhead,
  }: { path: string; found: IndexState; before: Remembered; areVolumesAhead: boolean },
): Promise<Doubt | undefined> {
  if (found.kind !== "whole") return areVolumesAhead ? olderCopy(await runsOf(memory), 0) : undefined;
  const look = lookOf(path);
  if (!areVolumesAhead && before.isClosed && look === before.look) return undefined;
  const runs = await runsOf(memory);
  const closed = runs.find((run) => run.look === look);
  if (before.lineage && !isOfLine(found.says, before.lineage)) return anotherIndex;
  const isOlder =
    areVolumesAhead || found.manifest < before.manifest || (found.manifest === before.manifest && before.isClosed);
  if (!closed && !isOlder) return undefined;
  return olderCopy(runs, found.manifest, closed);
}

/** Of a copy of the index as it was `closed`; one that was copied while it was open may lack all since the last one before. */
function olderCopy(runs: readonly Run[], copied: number, closed?: Run): Doubt {
  const last = closed ?? runs.findLast(({ manifest }) => manifest < copied);
  const closedMs = last?.closedMs;
  const suspect = { fromMs: (closedMs ?? 0) - limits.datesAheadMs };
  const laterMs = (closed?.closedMs ?? Date.now() + limits.datesAheadMs) + limits.datesAheadMs;
  return { why: "it is an older copy", isCertain: true, suspect, laterMs };
}

const anotherIndex: Doubt = { why: "it is another index", isCertain: true, suspect: { fromMs: 0 } };

/** With `-sync` the line that tells of a commit is not waited for. A whole index has the commit; a damaged one proves nothing. */
function restartDoubt(path: string, before: Remembered, found: IndexState): Doubt | undefined {
  if (before.isClosed || (before.isSynced && found.kind === "whole")) return undefined;
  const names = existsSync(path) ? readdirSync(path) : [];
  const lastWriteMs = Math.max(0, ...names.map((name) => statSync(join(path, name)).mtimeMs));
  const suspect = { fromMs: lastWriteMs - limits.unsyncedMs };
  if (before.boot !== bootId()) return { why: "the machine was restarted under it", isCertain: true, suspect };
  const mount = mountId(dirname(path));
  if (!mount || !before.mount || mount === before.mount) return undefined;
  return { why: "its disk was mounted anew under it", isCertain: false, suspect };
}

function placed(path: string): Pick<Remembered, "boot" | "mount"> {
  return { boot: bootId(), mount: mountId(dirname(path)) };
}

/** The names and lengths of the files of an index that is at rest. */
function lookOf(folder: string): string {
  const names = readdirSync(folder).filter((name) => !/^(LOG|LOCK|EPOCH)/.test(name));
  const lines = names.sort().map((name) => `${name} ${statSync(join(folder, name)).size}`);
  return new Bun.CryptoHasher("md5").update(lines.join("\n")).digest("hex");
}
