// Three masters over one store in a storm: masters are killed, ended and stopped, connections of the database frozen and
// ended, the database restarted. MKV_CHAOS_SECONDS makes it longer, MKV_CHAOS_SEED repeats the decisions of another run.
// And one of them is stopped between its last look at its claim and the arrival of its requests, until another has taken the
// keys over and written them: what comes late destroys nothing.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { startCluster, type Cluster } from "../support/cluster";
import { filesOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { follow, request } from "../support/http";
import { type Master } from "../support/master";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { KeyModel, type State } from "../chaos/model";
import { Random } from "../chaos/random";
import { runClient, strikeDatabase, strikeMasters, type Several } from "./storm";

const SECONDS = Number(process.env.MKV_CHAOS_SECONDS ?? 15);
const SEED = process.env.MKV_CHAOS_SEED ?? String(Math.floor(Math.random() * 1e9));
const ROUNDS = 10;
const CLIENTS = 16;
const KEYS = 40;

setDefaultTimeout((SECONDS + 240) * 1_000);

test.concurrent(
  `three masters: nothing acknowledged is lost, nothing else shows, in a storm of ${SECONDS} s`,
  async () => {
    console.log(`storm: seed ${SEED} (MKV_CHAOS_SEED=${SEED} makes the same decisions)`);
    await using server = await startPostgres();
    await using cluster = await startCluster({ db: server.url, volumes: 4, flags: ["-grace", "5s"] });
    const [second, third] = await Promise.all([cluster.anotherMaster(), cluster.anotherMaster()]);
    const keys = Array.from({ length: KEYS }, (_, i) => new KeyModel(`/key-${i}`, 0));
    const several: Several = {
      cluster,
      server,
      keys,
      seats: [cluster.master, second, third],
      stopped: new Set(),
      counts: {},
      said: "",
    };
    try {
      const end = performance.now() + SECONDS * 1_000;
      let failure: unknown;
      const span = { isOver: () => failure !== undefined || performance.now() > end };
      const failing = (error: unknown) => void (failure ??= error);
      const random = (who: string) => new Random(SEED, who);
      await Promise.all([
        ...Array.from({ length: CLIENTS }, (_, i) => runClient(several, random(`client ${i}`), span).catch(failing)),
        strikeMasters(several, random("masters"), span).catch(failing),
        strikeDatabase(several, random("database"), span).catch(failing),
      ]);
      if (failure !== undefined) throw failure;
      await calmed(several);
      await judge(several);
      console.log(`storm: ${JSON.stringify(several.counts)}`);
      expect(several.counts["PUT done"]).toBeGreaterThan(SECONDS); // A storm in which nothing is written proves nothing.
      expect(several.counts["GET read"]).toBeGreaterThan(SECONDS);
      expect(several.said.match(/.*a bug.*/g) ?? []).toEqual([]);
    } finally {
      await Promise.all(several.seats.map((master) => master?.[Symbol.asyncDispose]()));
    }
  },
);

/** Ends all masters, lets the claims of those that were killed run out, and starts one. */
async function calmed(several: Several): Promise<void> {
  const { cluster, server, seats, keys } = several;
  for (const master of seats.splice(0) as Master[]) {
    expect(await master.stop()).toBe(0);
    several.said += master.output;
  }
  keys.forEach((key) => key.masterEnded());
  await server.query("update mkv_keys set due = now() where held"); // All who could have renewed them are gone.
  await cluster.startMaster();
  seats.push(cluster.master);
}

/** Throws unless every key is in a state that it may be in, with the files that its record names, and no others are there. */
async function judge({ cluster, server, keys }: Several): Promise<void> {
  const settled = async () => (await server.query("select 1 from mkv_keys where due is not null")).length === 0;
  await until(settled, { what: "all that is owed is paid", deadlineMs: 60_000 });
  const [live, unlinked] = [new Set(await cluster.keys("list")), new Set(await cluster.keys("unlinked"))];
  const listed = new Set([...live, ...unlinked]);
  let files = 0;
  for (const key of keys) {
    const state: State = live.has(key.key)
      ? await stateOf(cluster, key)
      : unlinked.has(key.key)
        ? "unlinked"
        : "absent";
    const allowed = new Set<State>([...key.possible()].map((one) => (one === "hollow" ? "unlinked" : one)));
    if (!allowed.has(state)) key.violated(`in the end it is ${state}`, allowed);
    const copies = Object.keys(copiesOf(cluster, key.key)).length;
    files += copies;
    if (state === "absent" && copies > 0) key.violated(`it is gone, and ${copies} files are there`, allowed);
    listed.delete(key.key);
  }
  expect([...listed]).toEqual([]);
  expect(cluster.volumes.flatMap(({ dir }) => filesOn(dir)).length).toBe(files);
}

async function stateOf(cluster: Cluster, key: KeyModel): Promise<`live ${string}`> {
  const found = await cluster.ask("GET", key.key);
  const { status, body } = await follow(found);
  if (status !== 200) key.violated(`it is listed, and its volume says ${status}`, key.possible());
  const md5 = md5Hex(body);
  const named = found.headers.get("key-volumes")!.split(",");
  const expected = Object.fromEntries(named.map((volume) => [volume, md5]));
  if (!Bun.deepEquals(copiesOf(cluster, key.key), expected))
    key.violated(`its files are ${JSON.stringify(copiesOf(cluster, key.key))}, not ${JSON.stringify(expected)}`, []);
  expect(found.headers.get("content-md5")).toBe(md5);
  return `live ${md5}`;
}

test.concurrent(
  "requests of a master that was stopped for longer than its claims hold change no newer value",
  async () => {
    await using server = await startPostgres();
    await using cluster = await startGatedCluster({ db: server.url, flags: ["-threads", "1"] });
    await using other = await cluster.anotherMaster();
    const put = Array.from({ length: ROUNDS }, (_, i) => `/put/${i}`);
    const deleted = Array.from({ length: ROUNDS }, (_, i) => `/deleted/${i}`);
    for (const key of deleted) await cluster.store(key, `old ${key}`);

    for (const gate of cluster.gates)
      for (const method of ["PUT", "DELETE"]) gate.hold(method, "arrival", { times: ROUNDS, late: true });
    const late = [
      ...put.map((key) => cluster.ask("PUT", key, { body: `old ${key}`, timeoutMs: 60_000 })),
      ...deleted.map((key) => cluster.ask("DELETE", key, { timeoutMs: 60_000 })),
    ];
    for (const gate of cluster.gates) await Promise.all(["PUT", "DELETE"].map((method) => gate.holds(method, ROUNDS)));
    cluster.master.process.signal("SIGSTOP");

    const renew = async (key: string) => {
      const isWritten = async () => {
        const { status } = await request(other.port, { method: "PUT", target: key, body: `new ${key}` });
        expect([201, 409, 503]).toContain(status);
        return status === 201;
      };
      await until(isWritten, { what: `${key} is taken over`, deadlineMs: 30_000 });
    };
    await Promise.all([...put, ...deleted].map(renew));

    cluster.openAll();
    cluster.master.process.signal("SIGCONT");
    const answers = await Promise.all(late);
    expect(answers.slice(0, ROUNDS).map(({ status }) => status)).toEqual(put.map(() => 503));
    for (const key of [...put, ...deleted])
      expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), `new ${key}`));
    const found = await request(other.port, { target: "/?list" });
    expect(JSON.parse(found.text).keys).toEqual([...deleted, ...put].sort());
  },
);
