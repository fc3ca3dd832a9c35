// A bounded storm over a whole store, and its judgement. MKV_CHAOS_SECONDS makes it longer, MKV_CHAOS_SEED repeats the
// decisions of another run; what the scheduler makes of them differs.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Client } from "./client";
import { runJobs, strikeMaster, strikeVolumes } from "./nemesis";
import { Random } from "./random";
import { judge } from "./verdict";
import { World } from "./world";

const SECONDS = Number(process.env.MKV_CHAOS_SECONDS ?? 20);
const SEED = process.env.MKV_CHAOS_SEED ?? String(Math.floor(Math.random() * 1e9));
const BUSY = { clients: 10, keys: 120, popular: 6 };
// The dates of a key's writes tell a rebuild which is the last, if there is not more than about one a second.
const CALM = { clients: 4, keys: 250, popular: 250 };

setDefaultTimeout((SECONDS + 360) * 1_000);

test.each([
  ["nothing acknowledged is lost, nothing deleted comes back", false],
  ["no acknowledged value is lost, though older indexes are put back and rebuilt", true],
])(`%s, in a storm of ${SECONDS} s`, async (_, putsBack) => {
  console.log(`chaos: seed ${SEED} (MKV_CHAOS_SEED=${SEED} makes the same decisions)`);
  const storm = putsBack ? CALM : BUSY;
  await using world = await World.start(storm);
  const { volumes } = world.cluster;
  let failure: unknown;
  const end = performance.now() + SECONDS * 1_000;
  const span = { isOver: () => failure !== undefined || performance.now() > end };
  const random = (who: string) => new Random(SEED, who);
  const clients = Array.from(
    { length: storm.clients },
    (_, i) => new Client(world, random(`client ${i}`), `client-${i}`),
  );
  const failing = (error: unknown) => void (failure ??= error);

  await Promise.all([
    ...clients.map((client) => client.run(span).catch(failing)),
    strikeVolumes(volumes.slice(0, 2), random("first volumes"), span).catch(failing),
    strikeVolumes(volumes.slice(2, 4), random("next volumes"), span).catch(failing),
    strikeVolumes(volumes.slice(4), random("last volume"), span).catch(failing),
    strikeMaster(world, random("master"), { ...span, putsBack }).catch(failing),
    runJobs(world, random("jobs"), span).catch(failing),
  ]);
  if (failure !== undefined) throw failure;
  world.disk?.resize(500_000_000);
  const found = await judge(world);

  const counts: Record<string, number> = {};
  for (const client of clients)
    for (const [what, n] of Object.entries(client.counts)) counts[what] = (counts[what] ?? 0) + n;
  const { epoch, putBacks, jobs } = world;
  const told = [counts, jobs, { masters: epoch, putBacks }].map((some) => JSON.stringify(some)).join(", ");
  console.log(`chaos: ${told}, ${found.size} keys in order`);
  const least = (SECONDS * storm.clients) / BUSY.clients / 2;
  expect(counts["PUT done"]).toBeGreaterThan(least); // A storm in which nothing is written proves nothing.
  if (!putsBack) expect(counts["GET read"]).toBeGreaterThan(0); // A calm one may miss the few keys that there are.
  expect([jobs.done + jobs.failed > 0, putBacks > 0]).toEqual([true, putsBack]);
});
