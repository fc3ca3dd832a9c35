// Owns the filling of disks that were adopted: every key whose record names such a disk gets its copy back there.
import { counted } from "../counted";
import { isConfigured } from "../format/volume";
import { entriesOf } from "../ledger/ledger";
import { log } from "../log";
import { type Care } from "./caring";
import { mend } from "./mend";
import { refillPrefix } from "./places";
import { walkOn } from "./walk";

/** Fills the disks that are there, one after another, as far as that is possible now. */
export async function refill(care: Care): Promise<void> {
  const { store, stop } = care;
  const { ledger, volumes, topology } = store;
  for await (const [name] of entriesOf(ledger.memory, refillPrefix)) {
    const [place] = name.slice(refillPrefix.length).split(" ") as [string];
    const isThere = () => isConfigured(topology, place) && volumes.isWritable(place);
    if (!isThere()) continue;
    const tally = { healed: 0, left: 0 };
    const ended = await walkOn(
      ledger,
      {
        name,
        counts: false,
        tally,
        concerns: (record) => record.split(",").some((volume) => volume.endsWith(place)),
        waitMs: () => 0,
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
    if (ended === "later") continue;
    await ledger.memory.delete(name);
    log(`heal: ${place} is filled: ${counted(tally.healed, "key")} healed, ${tally.left} left`);
  }
}
