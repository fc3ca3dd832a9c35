// What a volume still has in hand when nobody waits for it any more, and carries out late: it never harms a later value, and
// what it leaves goes.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { storeSoon } from "./crash";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();
const flags = ["-voltimeout", "2s", "-stalltimeout", "2s"];
const LATE = 1;
const KEY = "/in-hand";

type Ask = (cluster: GatedCluster) => Promise<unknown>;
const put: Ask = (cluster) => cluster.ask("PUT", KEY, { body: "early" });
const deletion: Ask = (cluster) => cluster.ask("DELETE", KEY);
const move: Ask = (cluster) => cluster.ask("POST", `${KEY}?rebalance`);

/** A new master; the one before was killed while a volume had this in hand, which it still has. */
async function killWhileInHand(
  cluster: GatedCluster,
  method: string,
  ask: Ask,
): Promise<GatedCluster["gates"][number]> {
  const gate = cluster.gates[LATE]!;
  gate.hold(method, "arrival", { late: true, times: 1 });
  const asked = ask(cluster).catch(() => undefined);
  await gate.holds(method);
  await cluster.master.kill();
  await asked;
  await cluster.startMaster();
  return gate;
}

async function landed(gate: GatedCluster["gates"][number]): Promise<void> {
  await until(() => gate.lateArrivals === 1, { what: "what was in hand arrives" });
}

async function expectNothing(cluster: GatedCluster): Promise<void> {
  await until(() => cluster.remains().length === 0, { what: "nothing is left", deadlineMs: 20_000 });
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], []]);
}

/** A key that is unlinked, and whose value is on all volumes. */
const unlinked: Ask = async (cluster) => {
  await cluster.store(KEY, "old");
  await cluster.ask("UNLINK", KEY);
};

test.concurrent(
  "a write that a volume still had in hand when the master was killed is taken back as well",
  async () => {
    await using cluster = await startGatedCluster({ flags });
    const gate = await killWhileInHand(cluster, "PUT", put);
    await Bun.sleep(1_000); // Longer than this a write that is under way does not take to land.
    gate.open();
    await landed(gate);
    await expectNothing(cluster);
  },
);

const inHand: [what: string, method: string, before: Ask, ask: Ask][] = [
  ["a write", "PUT", async () => {}, put],
  ["a write over an unlinked key", "PUT", unlinked, put],
  ["a delete", "DELETE", (cluster) => cluster.store(KEY, "old"), deletion],
  [
    "a copy in the place of one that was lost",
    "PUT",
    async (cluster) => {
      await cluster.store(KEY, "old");
      for (const { file } of cluster.filesOf(pathOf(KEY)).slice(LATE, LATE + 1)) rmSync(file);
    },
    move,
  ],
];

test.concurrent.each(inHand)(
  "%s that a volume still had in hand when the master was killed never harms a later value",
  async (_, method, before, ask) => {
    await using cluster = await startGatedCluster({ flags });
    await before(cluster);
    const gate = await killWhileInHand(cluster, method, ask);
    await cluster.ask("DELETE", KEY);
    const written = storeSoon(cluster, KEY, "later");
    await Promise.race([written, Bun.sleep(1_000)]); // Longer than this what is under way does not take to land.
    gate.open();
    await written;
    await landed(gate);
    expect(copiesOf(cluster, KEY)).toEqual(copiesOn(homeOf(cluster, KEY), "later"));
  },
);

test.concurrent.each([1, 3])(
  "a write that was cut short is not made an unlinked key by a move, with %i threads",
  async (threads) => {
    await using cluster = await startGatedCluster({ flags: [...flags, "-threads", String(threads)] });
    const gate = await killWhileInHand(cluster, "PUT", put);
    const moves = await Promise.all(Array.from({ length: 8 }, () => cluster.ask("POST", `${KEY}?rebalance`)));
    expect(moves.map(({ status }) => status).filter((status) => status === 204)).toEqual([]);
    expect((await cluster.ask("DELETE", KEY)).status).not.toBe(204);
    gate.open();
    await landed(gate);
    await expectNothing(cluster);
  },
);

// A volume that is given up soon is trusted again before what it has in hand can no longer land.
const hasty = ["-voltimeout", "2s", "-stalltimeout", "1s", "-threads", "1"];

/** A write over an unlinked key that fails, since a volume keeps it in hand. */
async function failInHand(cluster: GatedCluster): Promise<GatedCluster["gates"][number]> {
  await unlinked(cluster);
  const gate = cluster.gates[LATE]!;
  gate.hold("PUT", "arrival", { late: true, times: 1 });
  expect((await cluster.ask("PUT", KEY, { body: "early" })).status).toBe(503);
  return gate;
}

test.concurrent("a write that failed since a volume kept it in hand never overwrites a later one", async () => {
  await using cluster = await startGatedCluster({ flags: hasty });
  const gate = await failInHand(cluster);
  await storeSoon(cluster, KEY, "later");
  gate.open();
  await landed(gate);
  expect(copiesOf(cluster, KEY)).toEqual(copiesOn(homeOf(cluster, KEY), "later"));
});

test.concurrent("a write that lands after its key was deleted is taken back", async () => {
  await using cluster = await startGatedCluster({ flags: hasty });
  const gate = await failInHand(cluster);
  expect((await cluster.ask("DELETE", KEY)).status).toBe(204);
  await until(() => cluster.remains().length === 0, { what: "the old copies go", deadlineMs: 20_000 });
  gate.open();
  await landed(gate);
  await expectNothing(cluster);
});

test.concurrent(
  "what a write that failed has left on a volume goes when it is back, though another write failed meanwhile",
  async () => {
    await using cluster = await startGatedCluster({ flags });
    const gate = cluster.gates[LATE]!;
    gate.hold("PUT", "answer", { times: 1 });
    expect((await cluster.ask("PUT", KEY, { body: "early" })).status).toBe(503);
    await cluster.volumes[LATE]!.kill();
    gate.open();
    expect(Object.values(copiesOf(cluster, KEY)).length).toBe(1);
    for (let i = 0; i < 4; i++) expect((await cluster.ask("PUT", KEY, { body: "next" })).status).toBe(503);
    await cluster.volumes[LATE]!.restart();
    await expectNothing(cluster);
  },
);
