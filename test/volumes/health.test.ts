// What is believed of a volume depends on the time that passes, never on what the wall's clock is set to.
import { afterEach, expect, setSystemTime, test } from "bun:test";
import { nowMs, pausesSeen } from "../../src/clock";
import { limits } from "../../src/limits";
import { learnClock } from "../../src/volumes/fence";
import { Health } from "../../src/volumes/health";

const HOUR_MS = 3_600_000;
const topology = { volumes: ["a:1", "b:2"], replicas: 1, subvolumes: 1 };

afterEach(() => void setSystemTime());

/** Sets the wall's clock forward or back, as an operator or NTP does. */
function stepWall(byMs: number): void {
  setSystemTime(new Date(Date.now() + byMs));
}

test("a volume that nobody has heard of yet is up, but has given no sign of life", () => {
  const health = new Health(topology, Health.share(topology));
  expect([health.isUp("a:1"), health.isWritable("a:1"), health.isFresh("a:1")]).toEqual([true, true, false]);
  expect(health.isFresh("stranger:1")).toBe(false);
});

test("a volume has been up since it was first heard of, or came back", () => {
  const health = new Health(topology, Health.share(topology));
  const isUpSince = (sinceMs: number) => ["a:1", "b:2", "stranger:1"].map((name) => health.isUpSince(name, sinceMs));
  expect(isUpSince(nowMs())).toEqual([false, false, false]);
  const startMs = nowMs();
  for (const name of ["a:1", "b:2"]) health.heard(name);
  expect(isUpSince(startMs)).toEqual([false, false, false]);
  const heardMs = nowMs();
  health.heard("a:1");
  expect(isUpSince(heardMs)).toEqual([true, true, false]);
  health.lost("a:1");
  expect(isUpSince(nowMs())).toEqual([false, true, false]);
  health.heard("a:1");
  expect(isUpSince(heardMs)).toEqual([false, true, false]);
});

for (const [how, byMs] of [
  ["back", -HOUR_MS],
  ["forward", HOUR_MS],
] as const) {
  test(`a wall's clock set ${how} makes no sign of life old, and none young`, async () => {
    const health = new Health(topology, Health.share(topology));
    health.heard("a:1");
    stepWall(byMs);
    expect([health.isFresh("a:1"), health.isFresh("b:2")]).toEqual([true, false]);
    await Bun.sleep(limits.freshMs + 50);
    expect(health.isFresh("a:1")).toBe(false);
  });

  test(`a wall's clock set ${how} neither shortens nor lengthens the rest of a volume that was silent`, async () => {
    const health = new Health(topology, Health.share(topology));
    health.silent("a:1");
    health.heard("a:1");
    stepWall(byMs);
    expect([health.isUp("a:1"), health.isSettled("a:1")]).toEqual([true, false]);
    await Bun.sleep(limits.settleMs + 50);
    expect(health.isSettled("a:1")).toBe(true);
  });

  test(`a wall's clock set ${how} makes no full disk writable, and none full`, () => {
    const health = new Health(topology, Health.share(topology));
    health.full("a:1");
    stepWall(byMs);
    expect([health.isWritable("a:1"), health.isWritable("b:2")]).toEqual([false, true]);
  });
}

test("a server that comes back in the same instant as another one, on another thread, is asked who it is as well", async () => {
  const [shared, times] = [Health.share(topology), 100_000];
  const ready = new Int32Array(new SharedArrayBuffer(4));
  const health = new Health(topology, shared);
  health.watch();
  const ends = topology.volumes.map(async (server) => {
    const thread = new Worker(new URL("health.worker.ts", import.meta.url).href);
    const end = new Promise((done) => thread.addEventListener("message", done));
    thread.postMessage({ topology, shared, server, times, ready });
    await end;
    thread.terminate();
  });
  await Promise.all(ends);
  expect(health.returns).toBe(topology.volumes.length * times * 2); // Before it counts as up, and after.
});

test.each(["a:1", "stranger:1"])(
  "the clock of %s that went further than this one is a pause, a slow answer is none",
  (server) => {
    const health = new Health(topology, Health.share(topology));
    /** Whether it counts as a pause that the clock is so far ahead, by an answer that took so long to come. */
    const isPause = (aheadMs: number, tookMs = 0): boolean => {
      const before = pausesSeen();
      const date = new Date(1_800_000_000_000 + nowMs() + aheadMs - tookMs).toUTCString();
      learnClock(health, server, date, nowMs() - tookMs);
      return pausesSeen() > before;
    };
    const steps = [
      isPause(0),
      isPause(0),
      isPause(0, 8_000),
      isPause(0),
      isPause(4_500),
      isPause(4_500),
      isPause(-60_000),
    ];
    expect(steps).toEqual([false, false, false, false, true, false, false]);
  },
);
