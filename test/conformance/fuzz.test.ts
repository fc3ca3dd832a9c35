// Odd requests by a seed, many at once. MKV_FUZZ_SECONDS makes it longer, MKV_FUZZ_SEED repeats the requests of another run.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Random } from "../chaos/random";
import { startCluster, type Cluster } from "../support/cluster";
import { withoutGrace } from "../support/grace";
import { listing } from "../support/process";
import { until } from "../support/until";
import { Judge } from "./fuzz-judge";
import { caseOf, type Case } from "./fuzz-requests";

const SECONDS = Number(process.env.MKV_FUZZ_SECONDS ?? 10);
const SEED = process.env.MKV_FUZZ_SEED ?? String(Math.floor(Math.random() * 1e9));
const AT_ONCE = 16;
const MORE_FILES = 200; // Connections to volumes are kept.
const MORE_BYTES = 200_000_000;

setDefaultTimeout((SECONDS + 120) * 1_000);
withoutGrace();

test(`whatever is sent for ${SECONDS} s, others are served, and only what was acknowledged is there`, async () => {
  console.log(`fuzz: seed ${SEED} (MKV_FUZZ_SEED=${SEED} sends the same requests)`);
  await using cluster = await startCluster();
  const { master } = cluster;
  const files = () => listing(`/proc/${master.process.pid}/fd`).length;
  const before = { files: files(), bytes: master.rssBytes() };
  const judge = new Judge(cluster);
  const endMs = performance.now() + SECONDS * 1_000;
  let count = 0;
  let failure: unknown;

  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (failure === undefined && performance.now() < endMs) {
        const n = count++;
        const sent = caseOf(new Random(SEED, `case ${n}`), `f${n}`);
        await judge.try(sent).catch((error: Error) => (failure ??= told(n, sent, error, cluster)));
      }
    }),
  );
  console.log(`fuzz: ${count} cases`);
  if (failure !== undefined) throw failure;
  await judge.clear(); // What came through after its client had gone.
  await until(() => cluster.remains().length === 0, { what: "no file is left", deadlineMs: 30_000 });
  expect(master.process.ended).toBe(false);
  expect(master.process.stderr).not.toMatch(/\bbug\b|undefined|NaN|^\s+at /m);
  await until(() => files() < before.files + MORE_FILES, { what: "files are closed", deadlineMs: 20_000 });
  expect(master.rssBytes()).toBeLessThan(before.bytes + MORE_BYTES);
});

/** The failure of a case, with all that is needed to see it again. */
function told(n: number, { requests, ending, isPipelined }: Case, error: Error, { master }: Cluster): Error {
  const sent = requests.map(({ bytes }) => JSON.stringify(bytes.toString("latin1").slice(0, 1_500))).join("\n");
  const how = `${isPipelined ? "at once" : "one after the other"}, then ${ending}`;
  return new Error(
    `MKV_FUZZ_SEED=${SEED}, case ${n}: ${error.message}; ${how}:\n${sent}\n${master.output.slice(-1_000)}`,
    { cause: error },
  );
}
