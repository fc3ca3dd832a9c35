// A bounded storm over a whole store, and its judgement. MKV_CHAOS_SECONDS makes it longer, MKV_CHAOS_SEED repeats the
// decisions of another run; what the scheduler makes of them differs.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Client } from "./client";
import { strikeMaster, strikeVolumes } from "./nemesis";
import { Random } from "./random";
import { judge } from "./verdict";
import { World } from "./world";

const SECONDS = Number(process.env.MKV_CHAOS_SECONDS ?? 40);
const SEED = process.env.MKV_CHAOS_SEED ?? String(Math.floor(Math.random() * 1e9));
const CLIENTS = 10;
const KEYS = 120;

setDefaultTimeout((SECONDS + 300) * 1_000);

test(`nothing acknowledged is lost, nothing deleted comes back, in a storm of ${SECONDS} s`, async () => {
  console.log(`chaos: seed ${SEED} (MKV_CHAOS_SEED=${SEED} makes the same decisions)`);
  await using world = await World.start(KEYS);
  const { volumes } = world.cluster;
  let failure: unknown;
  const end = performance.now() + SECONDS * 1_000;
  const span = { isOver: () => failure !== undefined || performance.now() > end };
  const random = (who: string) => new Random(SEED, who);
  const clients = Array.from({ length: CLIENTS }, (_, i) => new Client(world, random(`client ${i}`), `client-${i}`));
  const failing = (error: unknown) => void (failure ??= error);

  await Promise.all([
    ...clients.map((client) => client.run(span).catch(failing)),
    strikeVolumes(volumes.slice(0, 2), random("first volumes"), span).catch(failing),
    strikeVolumes(volumes.slice(2, 4), random("next volumes"), span).catch(failing),
    strikeVolumes(volumes.slice(4), random("last volume"), span).catch(failing),
    strikeMaster(world, random("master"), span).catch(failing),
  ]);
  if (failure !== undefined) throw failure;
  world.disk?.resize(500_000_000);
  const found = await judge(world);

  const counts: Record<string, number> = {};
  for (const client of clients)
    for (const [what, n] of Object.entries(client.counts)) counts[what] = (counts[what] ?? 0) + n;
  console.log(`chaos: ${JSON.stringify(counts)}, ${world.epoch} masters ended, ${found.size} keys in order`);
  expect(counts["PUT done"]).toBeGreaterThan(SECONDS); // A storm in which nothing is written proves nothing.
  expect(counts["GET read"]).toBeGreaterThan(SECONDS);
});
