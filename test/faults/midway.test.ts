// A volume is lost while a value is on its way to it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { bigValue } from "../support/big";
import { copiesOf, copiesOn, homeOf, indexOf } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { dial, follow, head, type Answer } from "../support/http";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { dead, frozen, type Fault } from "./fault";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();
const deadlines = ["-voltimeout", "2s", "-stalltimeout", "2s"];
const BYTES = 6_000_000;

/** PUTs a value whose second half is sent when the faults have struck: these volumes, by their place in the key's order. */
async function putThrough(
  cluster: GatedCluster,
  { key, value, fault, places }: { key: string; value: Buffer; fault: Fault; places: number[] },
): Promise<Answer> {
  using wire = await dial(cluster.master.port);
  wire.write(
    head({ method: "PUT", target: key, headers: { "Content-Length": String(value.length) } }, { close: true }),
  );
  wire.write(value.subarray(0, BYTES / 2));
  const begun = () => cluster.remains().length >= 3;
  await until(begun, { what: "the value is on its way to three volumes" });
  for (const place of places) await fault.strike(cluster, indexOf(cluster, homeOf(cluster, key, 5)[place]!));
  wire.write(value.subarray(BYTES / 2));
  return await wire.answer({ timeoutMs: 30_000 });
}

async function expectValue(cluster: GatedCluster, key: string, value: Buffer, volumes: string[]): Promise<void> {
  const found = await cluster.ask("GET", key);
  expect([found.status, found.headers.get("key-volumes")]).toEqual([302, volumes.join(",")]);
  expect(md5Hex((await follow(found)).body)).toBe(md5Hex(value));
}

for (const fault of [dead, frozen]) {
  for (const [flags, lost] of [
    [[], [0]],
    [["-minreplicas", "1"], [0]],
    [
      ["-minreplicas", "1"],
      [1, 2],
    ],
  ] as const) {
    const options = flags.join(" ") || "no -minreplicas";
    test.concurrent(
      `${lost.length} of three volumes ${fault.name} in the middle of a body, two spare ones: three copies (${options})`,
      async () => {
        await using cluster = await startGatedCluster({ volumes: 5, flags: [...deadlines, ...flags] });
        const [key, value] = ["/midway", bigValue("midway", BYTES)];
        const { status, text } = await putThrough(cluster, { key, value, fault, places: [...lost] });
        expect([status, text]).toEqual([201, ""]);
        const home = homeOf(cluster, key, 5);
        const taken = home.filter((_, place) => !(lost as readonly number[]).includes(place)).slice(0, 3);
        await expectValue(cluster, key, value, taken);
        for (const place of lost) await fault.heal(cluster, indexOf(cluster, home[place]!));
        const clean = () =>
          Bun.deepEquals(copiesOf(cluster, key), copiesOn(taken, value)) && cluster.remains().length === 3;
        await until(clean, { what: "the lost volumes keep nothing of it", deadlineMs: 20_000 });
        const moved = async () => (await cluster.ask("POST", `${key}?rebalance`)).status === 204;
        await until(moved, { what: "the key is brought home", deadlineMs: 20_000 });
        await expectValue(cluster, key, value, home.slice(0, 3));
        const isHome = () =>
          Bun.deepEquals(copiesOf(cluster, key), copiesOn(home.slice(0, 3), value)) && cluster.remains().length === 3;
        await until(isHome, { what: "what is left elsewhere is removed", deadlineMs: 20_000 }); // Healing may have moved it.
      },
    );
  }

  test.concurrent(`one of three volumes ${fault.name} in the middle of a body: -minreplicas 2 finish`, async () => {
    await using cluster = await startGatedCluster({ flags: [...deadlines, "-minreplicas", "2"] });
    const [key, value] = ["/midway", bigValue("midway", BYTES)];
    expect((await putThrough(cluster, { key, value, fault, places: [1] })).status).toBe(201);
    const home = homeOf(cluster, key);
    await expectValue(cluster, key, value, [home[0]!, home[2]!]);
    expect((await cluster.ask("PUT", key, { body: "x" })).status).toBe(403);
    await fault.heal(cluster, indexOf(cluster, home[1]!));
    const clean = () => cluster.remains().length === 2;
    await until(clean, { what: "the lost volume keeps nothing of it", deadlineMs: 20_000 });
  });

  test.concurrent(
    `two of three volumes ${fault.name} in the middle of a body: refused, and nothing is kept`,
    async () => {
      await using cluster = await startGatedCluster({ flags: [...deadlines, "-minreplicas", "2"] });
      const [key, value] = ["/midway", bigValue("midway", BYTES)];
      const { status, headers } = await putThrough(cluster, { key, value, fault, places: [0, 2] });
      expect([status, Number(headers.get("retry-after")) > 0]).toEqual([503, true]);
      expect((await cluster.ask("GET", key)).status).toBe(404);
      for (const place of [0, 2]) await fault.heal(cluster, indexOf(cluster, homeOf(cluster, key)[place]!));
      const clean = async () => cluster.remains().length === 0 && (await cluster.keys("unlinked")).length === 0;
      await until(clean, { what: "nothing is left", deadlineMs: 20_000 });
      const written = async () => (await cluster.ask("PUT", key, { body: "again" })).status === 201;
      await until(written, { what: "the key can be written", deadlineMs: 20_000 });
    },
  );
}
