// A job over a large store that was killed goes on where it was.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Cluster, startCluster } from "../support/cluster";
import { withoutGrace } from "../support/grace";
import { runMkv } from "../support/master";
import { pathOf } from "../support/placement";
import { contents } from "../support/process";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { type Command, type JobOptions, runJob, startJob } from "./job";
import { countsOf } from "./verified";

setDefaultTimeout(60_000);
withoutGrace();
const KEYS = 70;
const keys = Array.from({ length: KEYS }, (_, i) => `/key-${String(i).padStart(2, "0")}`);

/** Starts a job that is slow, waits until it has written down where it is, and kills it. */
async function killed(cluster: Cluster, command: Command, options: JobOptions, isWritten: () => unknown) {
  const flags = [...(options.flags ?? []), "-rate", "1"];
  await using job = startJob(cluster, command, { ...options, flags });
  await until(isWritten, { what: `${command} has written down where it is`, deadlineMs: 30_000 });
  expect([job.ended, job.stdout]).toEqual([false, ""]);
  await job.end("SIGKILL");
}

async function remembered(cluster: Cluster, job: Command): Promise<{ begun?: { after: string }; ended?: object }> {
  return JSON.parse((await cluster.ask("GET", `/?job=${job}`)).text) ?? {};
}

/** The index with what is remembered beside it, under another name. */
function copyIndex(from: string, name: string): string {
  const [folder, to] = [dirname(from), join(dirname(from), name)];
  cpSync(from, to, { recursive: true });
  cpSync(join(folder, `.${basename(from)}.mkv`), join(folder, `.${name}.mkv`), { recursive: true });
  return to;
}

let cluster: Cluster;
let copy: string;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  for (const key of keys) await cluster.store(key, valueOf(key, 150_000));
  await cluster.master.stop();
  copy = copyIndex(cluster.db, "copy");
  await cluster.startMaster();
});
afterAll(() => cluster[Symbol.asyncDispose]());

test.concurrent(
  "a verify of an index goes on where one was killed, if it is asked for the same; it counts both parts",
  async () => {
    const volumes = cluster.addresses.slice(0, 3);
    const beside = join(dirname(copy), ".copy.mkv");
    const isWritten = () => readdirSync(beside).some((name) => contents(join(beside, name)).includes('"after"'));
    await killed(cluster, "verify", { db: copy, volumes, flags: ["-md5"] }, isWritten);
    const other = await runJob(cluster, "verify", { db: copyIndex(copy, "other"), volumes });
    expect(other.stderr).toMatch(/^verify: begins anew, [^\n]* had another task, or another store\n/);
    const changed = copyIndex(copy, "changed");
    await runMkv(["-db", changed, "-volumes", volumes.join(","), "adopt", volumes[0]!]);
    const anew = await runJob(cluster, "verify", { db: changed, volumes, flags: ["-md5"] });
    expect(anew.stderr).toMatch(/^verify: begins anew, what the one [^\n]* has done may not hold any more\n/);
    const { stderr, last } = await runJob(cluster, "verify", { db: copy, volumes, flags: ["-md5"] });
    expect(stderr).toMatch(/^verify: goes on after "\/key-\d+", where one was cut short [^\n]*-from-start[^\n]*\n/);
    expect(countsOf(last).keys).toBe(KEYS);
  },
);

test.concurrent("a rebalance through a master goes on where one was killed; -from-start begins anew", async () => {
  const master = cluster.master.url;
  await killed(cluster, "rebalance", { master }, async () => (await remembered(cluster, "rebalance")).begun?.after);
  rmSync(cluster.filesOf(pathOf(keys[0]!))[0]!.file); // Which one that goes on does not see.
  const went = await runJob(cluster, "rebalance", { master });
  expect(went.stderr).toMatch(
    /^rebalance: goes on after "\/key-\d+", where one was cut short [^\n]*-from-start[^\n]*\n$/,
  );
  const all = new RegExp(`^rebalanced ${KEYS} keys: \\d+ moved, \\d+ in place, 0 failed$`);
  expect([went.exitCode, went.last]).toEqual([0, expect.stringMatching(all)]);
  expect((await remembered(cluster, "rebalance")).begun).toBeUndefined();
  const whole = await runJob(cluster, "rebalance", { master, flags: ["-from-start"] });
  expect(whole.output).toBe(`rebalanced ${KEYS} keys: 1 moved, ${KEYS - 1} in place, 0 failed\n`);
});
