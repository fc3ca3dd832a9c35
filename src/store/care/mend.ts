// Owns the mending of a key where its record says that its copies are: nothing is moved, whatever the topology asks for. And
// the filling of disks that were adopted: every key whose record names such a disk gets its copy back there.
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { type ValueRecord, decodeRecord } from "../../format/record";
import { isConfigured } from "../../format/volume";
import { entriesOf } from "../../ledger/ledger";
import { counted, log } from "../../log";
import { gauges } from "../../metrics";
import { type Volumes } from "../../volumes/volumes";
import { type Care } from "./care";
import { type Depth } from "../copies";
import { type Finding, findProblems, healKey } from "../heal";
import { type Pace } from "../pace";
import { refillPrefix } from "../adopt";
import { walkOn } from "./walk";

const unfilledGauge = gauges("mkv_disk_unfilled", "Whether a disk was adopted, and is not filled yet.", ["place"]);

/** What was found of a key while nobody changed it, and whether all of it was mended. */
export type Mended = { readonly findings: readonly Finding[]; readonly isMended: boolean };

/**
 * Looks at the copies of a key, and mends what is missing, damaged or cannot be read. What cannot be mended now leaves a hint.
 * @param options.reading how fast copies are read to be compared
 * @throws MkvError if the ledger fails
 */
export async function mend(
  care: Care,
  [key, text]: readonly [key: Key, record: string],
  { depth, reading }: { depth: Depth; reading: Pace },
): Promise<Mended> {
  const { store } = care;
  let record: ValueRecord;
  try {
    record = decodeRecord(text);
  } catch (error) {
    return { findings: [{ problem: "damaged", line: reasonOf(error) }], isMended: false };
  }
  const look = { depth, pace: reading, targets: record.volumes };
  const suspected = await findProblems(store.volumes, key, record, look);
  if (care.stop.aborted) return { findings: [], isMended: false }; // It may have been cut short, and is looked at again.
  const isUnknown = suspected.some(({ problem }) => problem === "unknown");
  const isMendable =
    suspected.some(({ problem }) => problem === "missing" || problem === "damaged") ||
    (isUnknown && (await areThere(store.volumes, record)));
  if (!isMendable) return { findings: suspected, isMended: false };
  let findings: readonly Finding[] = []; // Seen without a claim, it may have been on its way.
  try {
    using _turn = await care.turns.enter();
    const healed = await healKey(store, key, {
      depth,
      repair: true,
      move: (now) => ({ depth: "length", targets: now.volumes, pace: care.bytes }),
    });
    findings = healed.findings;
    if (healed.failure !== undefined) throw new MkvError("failed", healed.failure);
    if (healed.isRepaired) care.log.healed();
    return { findings, isMended: healed.isRepaired };
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (care.stop.aborted) return { findings: [], isMended: false };
    if (error.code !== "busy") care.log.failed(key, error);
    await store.hints.add(key, { why: depth === "md5" ? "damaged" : "missing" });
    return { findings, isMended: false };
  }
}

/** Whether all volumes of a record answer: a copy that could not be read may lie on a bad part of its disk then. */
async function areThere(volumes: Volumes, record: ValueRecord): Promise<boolean> {
  if (record.volumes.some((volume) => volumes.health.isForeign(volume))) return false;
  return (await Promise.all(record.volumes.map((volume) => volumes.wake(volume)))).every(Boolean);
}

/** Looks which disks are to be filled, by whichever process. */
export async function lookAtUnfilled({ store, unfilled }: Care): Promise<void> {
  const now = new Set<string>();
  for await (const [name] of entriesOf(store.ledger.memory, refillPrefix)) now.add(placeIn(name));
  for (const place of now.union(unfilled)) {
    const isUnfilled = now.has(place) && isConfigured(store.topology, place);
    if (isUnfilled) unfilled.add(place);
    else unfilled.delete(place);
    unfilledGauge.of(place).set(Number(isUnfilled));
  }
}

function placeIn(name: string): string {
  return name.slice(refillPrefix.length).split(" ", 1)[0]!;
}

/** Fills the disks that are there, one after another, as far as that is possible now. */
export async function refill(care: Care): Promise<void> {
  const { store, stop } = care;
  const { ledger, volumes, topology } = store;
  for await (const [name] of entriesOf(ledger.memory, refillPrefix)) {
    const place = placeIn(name);
    const isThere = () => isConfigured(topology, place) && volumes.health.isWritable(place);
    if (!isThere()) continue;
    const tally = { healed: 0, left: 0 };
    const ended = await walkOn(
      ledger,
      {
        name,
        tally,
        concerns: (record) => record.split(",").some((volume) => volume.endsWith(place)),
        mayGoOn: isThere,
        async look(entry) {
          await care.keys(1);
          const { findings, isMended } = await mend(care, entry, { depth: "length", reading: care.bytes });
          if (isMended) tally.healed++;
          else if (findings.length > 0) tally.left++;
          const isUnseen = !isMended && findings.some(({ problem }) => problem === "unknown");
          if (isUnseen) await store.hints.add(entry[0], { why: "missing" }); // This walk does not come by again.
        },
      },
      stop,
    );
    if (!ended) continue;
    await ledger.memory.delete(name);
    await lookAtUnfilled(care);
    log(`heal: ${place} is filled: ${counted(tally.healed, "key")} healed, ${tally.left} left`);
  }
}
