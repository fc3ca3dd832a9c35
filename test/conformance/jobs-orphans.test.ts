// What `?orphan` sees of a file that no record names: only what has been known as an orphan for an hour is removed, and
// never what could be the value of a key that lacks one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { startLiveAndSoft, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { follow } from "../support/http";
import { passTime } from "../support/orphans";
import { damage, elsewhere, fileOf, plantOn } from "../jobs/damage";
import { shelf } from "../jobs/job";
import { until } from "../support/until";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const LINE = /^[^\n]{5,}$/;
let cluster: Cluster;

beforeAll(async () => void (cluster = await startLiveAndSoft()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** What the master says of a file of this key on a volume; with `&repair` or `&remove` it may act on that. */
async function orphan(key: string, how: string): Promise<{ state: string; why?: string }> {
  const { status, text } = await cluster.ask("POST", `${key}?orphan=${how}`);
  if (status !== 200) throw new Error(`POST ${key}?orphan=${how}: ${status} ${text}`);
  return JSON.parse(text);
}

test.each(["/live", "/soft"])("a copy that the record of %s names is no orphan, and stays", async (key) => {
  const whole = shelf(cluster);
  for (const volume of homeOf(cluster, key)) {
    for (const how of ["", "&remove", "&repair&remove"]) {
      expect(await orphan(key, volume + how)).toEqual({ state: "accounted" });
    }
  }
  expect(shelf(cluster)).toEqual(whole);
});

test.each(["/live", "/soft", "/absent"])(
  "a stray file of %s is removed when it has been known as an orphan for an hour, and that alone",
  async (key) => {
    const whole = shelf(cluster);
    const volume = elsewhere(cluster, key);
    expect(await orphan(key, `${volume}&remove`)).toEqual({ state: "accounted" });
    using _stray = plantOn(cluster, volume, { key });
    const more = shelf(cluster);
    expect(Object.keys(more).length).toBe(Object.keys(whole).length + 1);
    for (const how of ["", "&remove", "&repair&remove"]) {
      expect(await orphan(key, volume + how)).toEqual({ state: "young" });
    }
    await passTime(cluster, 50);
    expect(await orphan(key, `${volume}&remove`)).toEqual({ state: "young" });
    await passTime(cluster, 10);
    expect(await orphan(key, volume)).toEqual({ state: "orphan" });
    expect(await orphan(key, `${volume}&repair`)).toEqual({ state: "orphan" });
    expect(shelf(cluster)).toEqual(more);
    expect(await orphan(key, `${volume}&remove`)).toEqual({ state: "removed" });
    expect(shelf(cluster)).toEqual(whole);
    expect(await orphan(key, `${volume}&remove`)).toEqual({ state: "accounted" });
  },
);

test("a file that comes back after it was removed is not known for an hour again before that has passed", async () => {
  const volume = elsewhere(cluster, "/again");
  using _first = plantOn(cluster, volume, { key: "/again" });
  expect(await orphan("/again", volume)).toEqual({ state: "young" });
  await passTime(cluster, 60);
  expect(await orphan("/again", `${volume}&remove`)).toEqual({ state: "removed" });
  using second = plantOn(cluster, volume, { key: "/again" });
  const state = async () => ((await orphan("/again", `${volume}&remove`)) as { state: string }).state;
  const seen = async () => (await state()).replace("accounted", ""); // For a second a thread may take it for owed.
  expect(await until(seen, { what: "it is seen that it is not owed" })).toBe("young");
  expect(existsSync(second.file)).toBe(true);
});

test("another file in the place of one that was an orphan for an hour is not removed for that", async () => {
  const volume = elsewhere(cluster, "/instead");
  {
    using _first = plantOn(cluster, volume, { key: "/instead" });
    expect(await orphan("/instead", volume)).toEqual({ state: "young" });
    await passTime(cluster, 60);
    expect(await orphan("/instead", volume)).toEqual({ state: "orphan" });
  }
  using second = plantOn(cluster, volume, { key: "/instead", content: "another one" });
  expect(await orphan("/instead", `${volume}&remove`)).toEqual({ state: "young" });
  expect(existsSync(second.file)).toBe(true);
});

test("the value of a key that has lost its copies is never removed, but recorded if asked for", async () => {
  const key = "/lost";
  await cluster.store(key, "the value");
  const volume = elsewhere(cluster, key);
  using planted = plantOn(cluster, volume, { key, content: "the value" });
  expect(await orphan(key, volume)).toEqual({ state: "young" });
  await passTime(cluster, 600);
  for (const home of homeOf(cluster, key)) damage(fileOf(cluster, key, home), "missing");
  for (const how of ["", "&remove"]) expect(await orphan(key, volume + how)).toEqual({ state: "copy" });
  expect(existsSync(planted.file)).toBe(true);
  expect(await orphan(key, `${volume}&repair&remove`)).toEqual({ state: "recorded" });
  expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key).toSorted(), "the value"));
  expect((await follow(await cluster.ask("GET", key))).text).toBe("the value");
});

test("a file that differs from a value whose own copies are not whole is kept, with the reason", async () => {
  const key = "/unsure";
  await cluster.store(key, "the value");
  const volume = elsewhere(cluster, key);
  using planted = plantOn(cluster, volume, { key, content: "differs" });
  expect(await orphan(key, volume)).toEqual({ state: "young" });
  await passTime(cluster, 600);
  damage(fileOf(cluster, key, homeOf(cluster, key)[1]!), "missing");
  for (const how of ["", "&remove", "&repair&remove"]) {
    expect(await orphan(key, volume + how)).toEqual({ state: "kept", why: expect.stringMatching(LINE) });
  }
  expect(existsSync(planted.file)).toBe(true);
});
