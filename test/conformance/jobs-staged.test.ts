// A staged file of which the journal knows nothing: verify names it, and removes it by the rules of orphans. One that is the
// value of a key that lacks copies is never removed.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { startLiveAndSoft, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, indexOf } from "../support/copies";
import { withoutGrace } from "../support/grace";
import { passTime } from "../support/orphans";
import { pathOf } from "../support/placement";
import { damage, elsewhere, fileOf, plant } from "../jobs/damage";
import { runJob, shelf } from "../jobs/job";

setDefaultTimeout(60_000);
withoutGrace();
const LINE = /^[^\n]{5,}$/;
let cluster: Cluster;

beforeAll(async () => void (cluster = await startLiveAndSoft()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** Puts a file where a volume has what is staged of this key. */
function stage(volume: string, { key, content = "staged" }: { key: string; content?: string }) {
  const path = `${volume.split("/")[1]!}/staged${pathOf(key)}`;
  return plant(cluster.volumes[indexOf(cluster, volume)]!, path, content);
}

/** What the master says of what is staged of this key on a volume; with `&repair` or `&remove` it may act on that. */
async function staged(key: string, how: string): Promise<{ state: string; why?: string }> {
  const { status, text } = await cluster.ask("POST", `${key}?staged=${how}`);
  if (status !== 200) throw new Error(`POST ${key}?staged=${how}: ${status} ${text}`);
  return JSON.parse(text);
}

/** What verify says over the running master: its lines of staged files, and how many orphans it counts. */
async function verify(...flags: string[]): Promise<{ lines: string[]; last: string }> {
  const master = `http://localhost:${cluster.master.port}`;
  const { stderr, last } = await runJob(cluster, "verify", { master, flags });
  return { lines: stderr.split("\n").filter((line) => line.includes("/staged/")), last };
}

test("what is staged for nobody is named, and removed when it has been so for an hour, and that alone", async () => {
  const whole = shelf(cluster);
  const keys = ["/live", "/soft", "/absent"];
  const volumes = keys.map((key) => homeOf(cluster, key)[1]!);
  using held = new DisposableStack();
  const files = keys.map((key, i) => held.use(stage(volumes[i]!, { key })).file);
  const lines = (said: string) =>
    keys.map((key, i) => expect.stringContaining(`${volumes[i]}/staged${pathOf(key)}: is of no replacement${said}`));
  const first = await verify("-orphans");
  expect(first).toEqual({ lines: expect.arrayContaining(lines(" that is known yet")), last: expect.any(String) });
  await passTime(cluster, 50);
  expect((await verify("-orphans")).lines.length).toBe(3);
  expect(files.every((file) => existsSync(file))).toBe(true);
  await passTime(cluster, 10);
  for (const flag of ["-repair", "-md5"]) expect((await verify(flag)).lines.length).toBe(3);
  expect((await verify("-dry-run", "-orphans")).lines).toEqual(expect.arrayContaining(lines(": it would be removed")));
  expect(files.every((file) => existsSync(file))).toBe(true);
  expect((await verify("-orphans")).lines).toEqual(expect.arrayContaining(lines(": removed")));
  expect(files.some((file) => existsSync(file))).toBe(false);
  expect((await verify("-orphans")).lines).toEqual([]);
  expect(shelf(cluster)).toEqual(whole);
});

test("what is staged is never removed while the value lacks copies, and takes its place if it is the value", async () => {
  const key = "/lost";
  await cluster.store(key, "the value");
  const home = homeOf(cluster, key);
  using other = stage(home[0]!, { key, content: "differs" });
  using same = stage(elsewhere(cluster, key), { key, content: "the value" });
  for (const volume of [home[0]!, elsewhere(cluster, key)])
    expect(await staged(key, `${volume}&remove`)).toEqual({ state: "young" });
  await passTime(cluster, 600);
  for (const volume of home) damage(fileOf(cluster, key, volume), "missing");
  const kept = { state: "kept", why: expect.stringMatching(LINE) };
  for (const how of ["", "&remove", "&repair&remove"]) expect(await staged(key, home[0]! + how)).toEqual(kept);
  for (const how of ["", "&remove"])
    expect(await staged(key, elsewhere(cluster, key) + how)).toEqual({ state: "copy" });
  expect([existsSync(other.file), existsSync(same.file)]).toEqual([true, true]);
  expect(await staged(key, `${elsewhere(cluster, key)}&repair&remove`)).toEqual({ state: "recorded" });
  expect(copiesOf(cluster, key)).toEqual(copiesOn(home.toSorted(), "the value"));
  expect(await staged(key, `${home[0]!}&remove`)).toEqual({ state: "removed" });
  expect(existsSync(other.file)).toBe(false);
});

test("a staged file that is the value stays while the recorded copies have no more than its length, and takes its place", async () => {
  const [key, value] = ["/zeros", "the value"];
  await cluster.store(key, value);
  using same = stage(elsewhere(cluster, key), { key, content: value });
  const how = `${elsewhere(cluster, key)}&remove`;
  expect(await staged(key, how)).toEqual({ state: "young" });
  await passTime(cluster, 600);
  for (const volume of homeOf(cluster, key)) writeFileSync(fileOf(cluster, key, volume), new Uint8Array(value.length));
  expect(await staged(key, how)).toEqual({ state: "copy" });
  expect(existsSync(same.file)).toBe(true);
  expect(await staged(key, `${how}&repair`)).toEqual({ state: "recorded" });
  expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key).toSorted(), value));
});
