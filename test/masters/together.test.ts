// Two masters over one store: what one has acknowledged, the other shows; what both are asked at once, one does.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { homeOf, copiesOf, copiesOn } from "../support/copies";
import { startCluster, type Cluster } from "../support/cluster";
import { follow, head, dial, request, type Answer } from "../support/http";
import { withoutGrace } from "../support/grace";
import { runMkv, type Master } from "../support/master";
import { pathOf } from "../support/placement";
import { startPostgres, type Postgres } from "../support/postgres";
import { until } from "../support/until";
import { md5Hex, targetOf, valueOf } from "../support/values";

setDefaultTimeout(60_000);
withoutGrace();
let server: Postgres;
let cluster: Cluster;
let masters: Master[];
beforeAll(async () => {
  server = await startPostgres();
  cluster = await startCluster({ db: server.url, volumes: 4, flags: ["-threads", "2"] });
  masters = [cluster.master, await cluster.anotherMaster()];
});
afterAll(async () => {
  await masters?.[1]?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const ask = (master: number, method: string, key: string | Uint8Array, body?: string | Uint8Array): Promise<Answer> =>
  request(masters[master]!.port, { method, target: targetOf(key), ...(body !== undefined && { body }) });
const listOf = async (master: number, prefix: string): Promise<string[]> =>
  JSON.parse((await request(masters[master]!.port, { target: `${prefix}?list` })).text).keys;

test.concurrent("what one acknowledges the other shows at once", async () => {
  const work = async (n: number) => {
    const [key, value] = [`/at-once/${n}`, valueOf(n, n % 5 === 0 ? 300_000 : 1_000)];
    const [one, other] = n % 2 ? [0, 1] : [1, 0];
    expect((await ask(one, "PUT", key, value)).status).toBe(201);
    const found = await ask(other, "GET", key);
    expect([found.status, found.headers.get("content-md5")]).toEqual([302, md5Hex(value)]);
    expect(md5Hex((await follow(found)).body)).toBe(md5Hex(value));
    expect((await ask(other, "PUT", key, "another")).status).toBe(403);
    expect(await listOf(other, key)).toContain(key);
    expect((await ask(other, "UNLINK", key)).status).toBe(204);
    expect((await ask(one, "GET", key)).status).toBe(404);
    expect((await ask(one, "DELETE", key)).status).toBe(204);
    expect((await ask(other, "DELETE", key)).status).toBe(404);
    expect(cluster.filesOf(pathOf(key))).toEqual([]);
  };
  await Promise.all(Array.from({ length: 20 }, (_, n) => work(n)));
});

test.concurrent(
  "of many PUTs of one key through both exactly one wins, and its value is the one that is read",
  async () => {
    for (let round = 0; round < 3; round++) {
      const key = `/contested-${round}`;
      const values = Array.from({ length: 40 }, (_, i) => valueOf(`${round}-${i}`));
      const answers = await Promise.all(values.map((value, i) => ask(i % 2, "PUT", key, value)));
      const winners = values.filter((_, i) => answers[i]!.status === 201);
      expect(winners.length).toBe(1);
      for (const { status } of answers) expect([201, 403, 409]).toContain(status);
      expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), winners[0]!));
    }
  },
);

test.concurrent("keys of any bytes are the same for both", async () => {
  const keys = [[0], [0xff, 0xfe], [0xc3], [0x27, 0x22, 0x5c]].map((bytes) => Buffer.from([0x2f, ...bytes]));
  keys.push(Buffer.from(`/${"k".repeat(1023)}`));
  for (const key of keys) {
    expect((await ask(0, "PUT", key, "value")).status).toBe(201);
    expect((await follow(await ask(1, "GET", key))).text).toBe("value");
    expect((await ask(1, "DELETE", key)).status).toBe(204);
    expect((await ask(0, "GET", key)).status).toBe(404);
  }
});

test.concurrent(
  "what a master was at when it was killed is taken over: nothing of it shows, and its files go",
  async () => {
    const third = await cluster.anotherMaster();
    const key = "/cut-short";
    using wire = await dial(third.port);
    wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "2000000" } }, { close: false }));
    wire.write(valueOf("half", 1_000_000));
    const isOnTheWay = async () =>
      (await server.query("select 1 from mkv_keys where key = $1", [Buffer.from(key)])).length;
    await until(isOnTheWay, { what: "the third master is at it" });
    await third.kill();
    expect((await ask(0, "PUT", key, "next")).status).toBe(409);
    expect((await ask(1, "GET", key)).status).toBe(404);
    await server.query("update mkv_keys set due = now() where key = $1", [Buffer.from(key)]); // Its claim runs out.
    const isWritten = async () => (await ask(0, "PUT", key, "next")).status === 201;
    await until(isWritten, { what: "the key is free again", deadlineMs: 15_000 });
    await until(() => Object.keys(copiesOf(cluster, key)).length === 3, { what: "only the new copies are there" });
    expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), "next"));
  },
);

test.concurrent(
  "a claim that the database gives away, since its clock was set, ends with the next renewal",
  async () => {
    await using third = await cluster.anotherMaster(["-threads", "1"]);
    const keys = ["/given-away", "/kept"];
    const begin = async (key: string) => {
      const wire = await dial(third.port);
      wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "10" } }, { close: false }));
      wire.write("stale");
      return wire;
    };
    const [given, kept] = await Promise.all(keys.map(begin));
    const rowOf = (key: string) =>
      server.query("select due::text from mkv_keys where key = $1 and held", [Buffer.from(key)]);
    for (const key of keys) await until(async () => (await rowOf(key)).length, { what: `${key} is claimed` });
    const isTaken = async () => {
      const step = "due = due - interval '1 minute', written = written - interval '1 minute'";
      await server.query(`update mkv_keys set ${step} where key = $1 and held`, [Buffer.from(keys[0]!)]);
      return (await ask(1, "PUT", keys[0]!, "fresh")).status === 201;
    };
    await until(isTaken, { what: "another master has the key" });
    const [before] = await rowOf("/kept");
    const isRenewed = async () => (await rowOf("/kept"))[0]!["due"] !== before!["due"];
    await until(isRenewed, { what: "its claims are renewed", deadlineMs: 6_000 });
    expect((await request(third.port, { target: "/nothing" })).status).toBe(404); // By now it has heard of that.
    for (const wire of [given!, kept!]) wire.write("value");
    expect([(await given!.answer()).status, (await kept!.answer()).status]).toEqual([503, 201]);
    expect(copiesOf(cluster, keys[0]!)).toEqual(copiesOn(homeOf(cluster, keys[0]!), "fresh"));
  },
);

test("a rebalance through both at once brings every key home, and so does one beside them", async () => {
  const three = cluster.addresses.slice(0, 3);
  await Promise.all(masters.map((master) => master.stop()));
  await cluster.startMaster(["-threads", "1"], three);
  const keys = Array.from({ length: 30 }, (_, i) => `/moved/${i}`);
  for (const key of keys) await cluster.store(key);
  await cluster.master.stop();
  masters = [await cluster.startMaster(["-threads", "1"]), await cluster.anotherMaster(["-threads", "1"])];
  const volumes = ["-volumes", cluster.addresses.join(","), "-grace", "0"];
  const throughs = [...masters.map(({ url }) => ["-master", url]), ["-db", cluster.db]];
  const outcomes = await Promise.all(
    throughs.map((through) => runMkv([...through, ...volumes, "rebalance"], { timeoutMs: 40_000 })),
  );
  for (const { exitCode, stderr } of outcomes) expect([exitCode, stderr]).toEqual([0, expect.any(String)]);
  for (const key of keys) {
    const isHome = () => JSON.stringify(copiesOf(cluster, key)) === JSON.stringify(ordered(key));
    await until(isHome, { what: `${key} is at home, and nowhere else`, deadlineMs: 30_000 });
  }
  const verified = await runMkv(["-db", cluster.db, ...volumes, "verify"], { timeoutMs: 40_000 });
  expect([verified.exitCode, verified.stdout]).toEqual([0, expect.stringContaining(" 0 missing, 0 damaged")]);
});

/** The copies of a key that is at home, as `copiesOf` orders them. */
function ordered(key: string): Record<string, string> {
  const home = homeOf(cluster, key);
  const sorted = home.toSorted(
    (a, b) => cluster.addresses.indexOf(a.split("/")[0]!) - cluster.addresses.indexOf(b.split("/")[0]!),
  );
  return copiesOn(sorted, `value of ${key}`);
}
