// The master is killed at a write of its own, to the journal or to the index: between any two of them the key is what it was
// or what it is to be, and what was answered holds.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { whyNoTrace } from "../durability/trace";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { type GatedCluster } from "../support/gated";
import { type Answer } from "../support/http";
import { RunningProcess } from "../support/process";
import { withoutGrace } from "../support/grace";
import { until, within } from "../support/until";
import { newValue, oldValue, settled, startStore, storeAway } from "./crash";

setDefaultTimeout(90_000);
withoutGrace();
const why = await whyNoTrace();
if (why) console.log(`skipped: kills at writes of the master, since system calls cannot be seen here (${why})`);
const testTraced = test.concurrent.skipIf(why !== undefined);

/** What a key is, and where its files are; without copies, wherever. */
type State = { readonly state: "live" | "unlinked" | "absent"; readonly copies?: Record<string, string> };

type Operation = {
  /** Makes the key, and gives its name. */
  prepare(cluster: GatedCluster): Promise<string>;
  ask(cluster: GatedCluster, key: string): Promise<Answer>;
  before(cluster: GatedCluster, key: string): State;
  after(cluster: GatedCluster, key: string): State;
};

const at = (volumes: string[], value: Buffer): State => ({ state: "live", copies: copiesOn(volumes, value) });
const gone: State = { state: "absent", copies: {} };
const put = (cluster: GatedCluster, key: string) => cluster.ask("PUT", key, { body: newValue(key) });
const isNew = (cluster: GatedCluster, key: string) => at(homeOf(cluster, key), newValue(key));
const isOld = (cluster: GatedCluster, key: string) => at(homeOf(cluster, key), oldValue(key));

async function store(cluster: GatedCluster): Promise<string> {
  await cluster.store("/key", oldValue("/key"));
  return "/key";
}

const operations = {
  write: { prepare: async () => "/key", ask: put, before: () => gone, after: isNew },
  "write over an unlinked key": {
    async prepare(cluster) {
      const key = await store(cluster);
      await cluster.ask("UNLINK", key);
      return key;
    },
    ask: put,
    before: () => ({ state: "unlinked" }),
    after: isNew,
  },
  unlink: {
    prepare: store,
    ask: (cluster, key) => cluster.ask("UNLINK", key),
    before: isOld,
    after: (cluster, key) => ({ ...isOld(cluster, key), state: "unlinked" }),
  },
  delete: {
    prepare: store,
    ask: (cluster, key) => cluster.ask("DELETE", key),
    before: isOld,
    after: () => gone,
  },
  move: {
    prepare: async (cluster) => (await storeAway(cluster, "moved")).key,
    ask: (cluster, key) => cluster.ask("POST", `${key}?rebalance`),
    before: (cluster, key) => at(homeOf(cluster, key, 4).slice(1), oldValue(key)),
    after: isOld,
  },
} satisfies Record<string, Operation>;

/** Kills the master when it is about to write to this file for the nth time from now on. */
async function killAtWrite(cluster: GatedCluster, file: "journal" | "index", nth: number): Promise<RunningProcess> {
  const log = readdirSync(cluster.db).findLast((name) => name.endsWith(".log"))!;
  const path = file === "journal" ? `${cluster.db}.journal-0` : join(cluster.db, log);
  const { pid } = cluster.master.process;
  const calls = "write,pwrite64,writev";
  const what = ["-P", path, "-e", `trace=${calls}`, "-e", `inject=${calls}:signal=KILL:when=${nth}`];
  const strace = new RunningProcess({ command: ["strace", "-f", ...what, "-p", String(pid)] });
  await strace.says(new RegExp(`Process ${pid} attached`));
  return strace;
}

async function stateOf(cluster: GatedCluster, key: string): Promise<Required<State>> {
  const [live, unlinked] = [await cluster.keys("list"), await cluster.keys("unlinked")];
  const state = live.includes(key) ? "live" : unlinked.includes(key) ? "unlinked" : "absent";
  return { state, copies: copiesOf(cluster, key) };
}

/** Holds the answers to these requests; what it gives waits for the first of them. */
function heldAt(cluster: GatedCluster, method: string): () => Promise<unknown> {
  for (const gate of cluster.gates) gate.hold(method, "answer");
  return () => Promise.any(cluster.gates.map((gate) => gate.holds(method)));
}

const points: [keyof typeof operations, "at once" | "PUT" | "DELETE", "journal" | "index", number][] = [
  ["write", "at once", "journal", 1],
  ["write", "at once", "index", 1],
  ["write", "at once", "journal", 2],
  ["write over an unlinked key", "at once", "journal", 1],
  ["write over an unlinked key", "at once", "index", 1],
  ["write over an unlinked key", "PUT", "index", 1],
  ["write over an unlinked key", "at once", "journal", 2],
  ["unlink", "at once", "index", 1],
  ["delete", "at once", "journal", 1],
  ["delete", "at once", "index", 1],
  ["delete", "at once", "journal", 2],
  ["move", "at once", "journal", 1],
  ["move", "PUT", "journal", 1],
  ["move", "PUT", "index", 1],
  ["move", "DELETE", "journal", 1],
];

testTraced.each(points)(
  "a %s, traced from %s on, is all or nothing when killed at a write to the %s (%i)",
  async (...point) => {
    const [name, from, file, nth] = point;
    const operation: Operation = operations[name];
    await using cluster = await startStore(5, ["-threads", "1"]);
    const key = await operation.prepare(cluster);
    await settled(cluster);
    expect(await stateOf(cluster, key)).toMatchObject(operation.before(cluster, key));
    const ask = async () => (await operation.ask(cluster, key).catch(() => undefined))?.status;
    const held = from !== "at once" && heldAt(cluster, from);
    const early = held ? ask() : undefined;
    if (held) await held();
    await using _killer = await killAtWrite(cluster, file, nth);
    const answered = early ?? ask();
    cluster.openAll();
    await within(cluster.master.process.exited, { what: "the master is killed", deadlineMs: 20_000 });
    const isDone = ((await answered) ?? 500) < 300;
    await cluster.startMaster();
    await settled(cluster);
    const allowed = [operation.after(cluster, key), ...(isDone ? [] : [operation.before(cluster, key)])];
    const found = await stateOf(cluster, key);
    expect(allowed.map((state) => ({ ...found, ...state }))).toContainEqual(found);
    await until(() => cluster.remains().length === 3 + Object.keys(found.copies).length, {
      what: () => `nothing is left but ${JSON.stringify(found.copies)}: ${cluster.remains()}; ${cluster.master.output}`,
    });
  },
);
