// Owns what the metrics say of the last verify that went over everything, whoever ran it: it is remembered beside the ledger.
import { limits } from "../limits";
import { gauges } from "../metrics";
import { type Memory } from "../ledger/ledger";
import { type JobMemory, jobName } from "./job-memory";

const age = gauges("mkv_verify_age_seconds", "Seconds since a verify had compared everything.", []);
const found = gauges("mkv_verify_findings", "What the last verify that compared everything has found.", ["kind"]);

/** What a verify counts that is no finding. */
const others: ReadonlySet<string> = new Set(["keys", "files", "repaired", "bytes"]);

/** Tells of the last verify until it is disposed of: one thread does so for all. */
export function tellOfVerify(memory: Memory): Disposable {
  const look = async () => {
    const { ended } = ((await memory.get(jobName("verify"))) as JobMemory | undefined) ?? {};
    if (!ended) return;
    age.of().set((Date.now() - ended.atMs) / 1000);
    for (const [kind, count] of Object.entries(ended.counts)) if (!others.has(kind)) found.of(kind).set(count);
  };
  const tell = () => void look().catch(() => {}); // The ledger cannot be asked: other metrics say so.
  const timer = setInterval(tell, limits.cursorMs);
  tell();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
