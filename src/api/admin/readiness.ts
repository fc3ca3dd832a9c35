// Owns the answer to "can this store be written to now?": whether the ledger answers, and how many volumes take values.
import { nowMs } from "../../clock";
import { withDeadline } from "../../deadline";
import { MkvError, reasonOf } from "../../errors";
import { parseKey } from "../../format/key";
import { limits } from "../../limits";
import { type Store } from "../../store/store";
import { type PlaceState, type VolumeReport } from "../../volumes/report";

const anyKey = parseKey("/");

/** Looks whether a store is ready. One question to the ledger at a time, however many ask, and none waits for it anew. */
export class Readiness {
  #asked: { readonly answer: Promise<string | undefined>; readonly untilMs: number } | undefined;

  constructor(readonly store: Store) {}

  /** A line that says why it is not ready; undefined if it is. */
  async whyNot(reports: readonly VolumeReport[]): Promise<string | undefined> {
    const onTimeout = () => new MkvError("timeout", `it does not answer within ${limits.readyMs} ms`);
    const { answer, untilMs } = (this.#asked ??= this.#askLedger());
    const ledger = await withDeadline(Math.max(0, untilMs - nowMs()), answer, onTimeout).catch(reasonOf);
    return ledger === undefined ? whyNotWritable(this.store, reports) : `the index cannot be read: ${ledger}`;
  }

  #askLedger() {
    const ask = async () => void (await this.store.ledger.get(anyKey));
    const answer = ask().then(() => undefined, reasonOf);
    void answer.finally(() => (this.#asked = undefined));
    return { answer, untilMs: nowMs() + limits.readyMs };
  }
}

/** What is said of a volume, after its name. */
export const said: Record<PlaceState, string> = {
  up: "is up",
  down: "is down",
  full: "is full",
  "read-only": "is read-only",
  foreign: "is not the disk it was",
};

function whyNotWritable({ minreplicas, volumes }: Store, reports: readonly VolumeReport[]): string | undefined {
  const isWritable = ({ name, disks }: VolumeReport) =>
    disks.some(
      (disk) => disk.state === "up" && volumes.health.isWritable(disk.name === "" ? name : `${name}/${disk.name}`),
    );
  const refusing = reports.filter((report) => !isWritable(report));
  const writable = reports.length - refusing.length;
  if (writable >= minreplicas) return undefined;
  const why = refusing.map(({ name, state }) => `${name} ${state === "up" ? "has just come back" : said[state]}`);
  return `${writable} of ${reports.length} volumes can be written to, a value needs ${minreplicas}: ${why.join(", ")}`;
}
