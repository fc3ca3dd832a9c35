// Clients that try passwords: slowly, at little cost for the volumes, and without learning anything.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { request } from "../support/http";
import { basic } from "../support/password";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const login = { user: "admin", password: "secret" };
const right = { Authorization: basic(login) };
const guess = (password: string) => ({ Authorization: basic({ user: "admin", password }) });
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ login, flags: ["-basicauth", "-threads", "1"] });
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** The statuses of these requests, and how long they took together. */
async function timed(all: Record<string, string>[]): Promise<{ statuses: number[]; ms: number }> {
  const startMs = performance.now();
  const answers = await Promise.all(all.map((headers) => cluster.ask("GET", "/?list", { headers, timeoutMs: 50_000 })));
  return { statuses: answers.map(({ status }) => status), ms: performance.now() - startMs };
}

test("the same wrong password is answered at once, as often as it comes", async () => {
  const { statuses, ms } = await timed(Array.from({ length: 200 }, () => guess("the same")));
  expect(new Set(statuses)).toEqual(new Set([401]));
  expect(ms).toBeLessThan(2_000);
});

test("many wrong passwords take ever longer, those that come at once too, and the log names the client", async () => {
  expect((await timed([right])).statuses).toEqual([200]);
  const { ms, statuses } = await timed(Array.from({ length: 15 }, (_, i) => guess(`guess-${i}`)));
  expect(new Set(statuses)).toEqual(new Set([401]));
  expect(ms).toBeGreaterThan(10_000);
  expect(cluster.master.output).toMatch(/127\.0\.0\.1 has tried \d+ wrong passwords/);
  expect(cluster.master.output).not.toContain("guess-");
  const known = await timed([right]);
  expect([known.statuses, known.ms < 1_000]).toEqual([[200], true]);
});

test("credentials of any length are 401, if they are wrong", async () => {
  for (const length of [3_000, 5_000, 12_000]) {
    const { status } = await cluster.ask("GET", "/?list", { headers: guess("x".repeat(length)), timeoutMs: 20_000 });
    expect([length, status]).toEqual([length, 401]);
  }
});

test("good credentials are remembered: the volumes may be away for a while", async () => {
  await using cut = await startCluster({ login, flags: ["-basicauth", "-threads", "1"] });
  expect((await cut.ask("GET", "/?list", { headers: right })).status).toBe(200);
  await Promise.all(cut.volumes.map((volume) => volume.kill()));
  await Bun.sleep(6_000);
  expect((await cut.ask("GET", "/?list", { headers: right })).status).toBe(200);
  const { status, text } = await request(cut.master.port, { target: "/?list", headers: guess("x") });
  expect([status, text]).toEqual([503, expect.not.stringContaining("localhost")]);
  expect(cut.master.output).toContain(cut.addresses[0]!);
});
