import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { startMaster } from "../support/master";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { writeRecords } from "../support/records";
import { targetOf } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
const letters = ["/l/a", "/l/b", "/l/c", "/l/d", "/l/e"];

beforeAll(async () => {
  cluster = await startCluster();
  for (const key of letters) await store(key);
});
afterAll(() => cluster[Symbol.asyncDispose]());

async function store(key: string | Uint8Array): Promise<void> {
  expect((await cluster.ask("PUT", targetOf(key), { body: "x" })).status).toBe(201);
}

async function list(target: string): Promise<{ next: string; keys: string[] }> {
  const answer = await cluster.ask("GET", target);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toStartWith("application/json");
  return JSON.parse(answer.text);
}

/** All keys, page by page. */
async function paged(prefix: string, limit: number): Promise<string[]> {
  const keys: string[] = [];
  let next = "";
  do {
    const page = await list(`${prefix}?list&limit=${limit}${next && `&start=${encodeURIComponent(next)}`}`);
    expect(page.keys.length).toBeLessThanOrEqual(limit);
    if (page.next) expect(page.keys.length).toBe(limit);
    keys.push(...page.keys);
    next = page.next;
  } while (next && keys.length < 1_000);
  return keys;
}

test("a list of a prefix holds the live keys under it, in order", async () => {
  for (const key of ["/p/b", "/p/a", "/p", "/pq", "/q", "/p/c"]) await store(key);
  await cluster.ask("UNLINK", "/p/b");
  expect(await list("/p?list")).toEqual({ next: "", keys: ["/p", "/p/a", "/p/c", "/pq"] });
  expect(await list("/p/?list")).toEqual({ next: "", keys: ["/p/a", "/p/c"] });
  expect(await list("/p?unlinked")).toEqual({ next: "", keys: ["/p/b"] });
  expect(await list("/none?list")).toEqual({ next: "", keys: [] });
  expect((await list("/?list")).keys).toEqual(expect.arrayContaining([...letters, "/p", "/p/a", "/p/c", "/pq", "/q"]));
});

test("start is inclusive, need not exist, and never leads out of the prefix", async () => {
  for (const key of ["/between", "/l", "/l.", "/l0", "/m"]) await store(key);
  expect((await list("/l/?list&start=/l/c")).keys).toEqual(["/l/c", "/l/d", "/l/e"]);
  expect((await list("/l/?list&start=/l/bb")).keys).toEqual(["/l/c", "/l/d", "/l/e"]);
  expect((await list("/l/?list&start=/a")).keys).toEqual(letters);
  expect((await list("/l/?list&start=/z")).keys).toEqual([]);
  expect((await list("/l/?list&start=/l0")).keys).toEqual([]);
  expect((await list("/l/?list&start=")).keys).toEqual(letters);
});

test("limit bounds a page, next begins the one after, and is empty at the end", async () => {
  expect(await list("/l/?list&limit=2")).toEqual({ next: "/l/c", keys: ["/l/a", "/l/b"] });
  expect(await list("/l/?list&limit=2&start=/l/c")).toEqual({ next: "/l/e", keys: ["/l/c", "/l/d"] });
  expect(await list("/l/?list&start=/l/e&limit=2")).toEqual({ next: "", keys: ["/l/e"] });
  expect(await list("/l/?list&limit=5")).toEqual({ next: "", keys: letters });
  expect(await list("/l/?list&limit=0")).toEqual({ next: "", keys: letters });
  expect(await list("/l/?list&limit=&start=")).toEqual({ next: "", keys: letters });
  expect(await list("/l/?list&limit=4")).toEqual({ next: "/l/e", keys: letters.slice(0, 4) });
});

test("unlinked keys page just like live ones", async () => {
  for (const key of ["/u/a", "/u/b", "/u/c"]) await store(key);
  for (const key of ["/u/a", "/u/c"]) await cluster.ask("UNLINK", key);
  expect(await list("/u/?unlinked&limit=1")).toEqual({ next: "/u/c", keys: ["/u/a"] });
  expect(await list("/u/?unlinked&limit=1&start=/u/c")).toEqual({ next: "", keys: ["/u/c"] });
  expect(await list("/u/?list&limit=1")).toEqual({ next: "", keys: ["/u/b"] });
});

test.each(["abc", "-1", "1.5", "1e3", "0x10", "99999999999999999999", "1%20"])(
  "a limit of '%s' is refused with 400",
  async (limit) => {
    for (const operation of ["list", "unlinked"]) {
      const answer = await cluster.ask("GET", `/l/?${operation}&limit=${limit}`);
      expect(answer.status).toBe(400);
      expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
    }
  },
);

test("order is that of the bytes, not of an alphabet", async () => {
  const keys = ["/o/B", "/o/Z", "/o/a", "/o/zz", "/o/\u00e4", "/o/\uffee", "/o/\u{1f600}"];
  for (const key of keys.toReversed()) await store(key);
  expect((await list("/o/?list")).keys).toEqual(keys);
  expect(await paged("/o/", 1)).toEqual(keys);
});

test("pages add up to the whole, whatever bytes the keys are made of", async () => {
  const tails = [
    [0x00],
    [0x2b],
    [0x26, 0x3d],
    [0x80],
    [0xbf, 0x41],
    [0xc3],
    [0xc3, 0xa9],
    [0xc3, 0x28],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x8f, 0xbe, 0x80],
    [0xf4, 0x8f, 0xbf, 0xbf],
    [0xff],
    [0xff, 0xff],
  ];
  for (const tail of tails) await store(Buffer.concat([Buffer.from("/b/"), Uint8Array.from(tail)]));
  const whole = (await list("/b/?list")).keys;
  expect(whole.length).toBe(tails.length);
  expect(new Set(whole).size).toBe(tails.length);
  for (const limit of [1, 2, 5, 100]) expect(await paged("/b/", limit)).toEqual(whole);
});

test("a byte that is no UTF-8 is shown as the code point U+10FF00 + byte", async () => {
  await store(Uint8Array.of(0x2f, 0x6e, 0x2f, 0xc3, 0xa9, 0xff, 0xc3, 0x2e));
  const shown = `/n/é${String.fromCodePoint(0x10ffff)}${String.fromCodePoint(0x10ffc3)}.`;
  expect((await list("/n/?list")).keys).toEqual([shown]);
  for (const start of [encodeURIComponent(shown), "/n/%C3%A9%FF%C3."]) {
    expect((await list(`/n/?list&start=${start}`)).keys).toEqual([shown]);
    expect((await list(`/n/?list&start=${start}!`)).keys).toEqual([]);
  }
});

test("a prefix may end in the middle of a character, or in the highest byte", async () => {
  for (const tail of [
    [0xc3, 0xa9],
    [0xc3, 0xff],
    [0xff, 0x41],
    [0xff, 0xff],
  ])
    await store(Uint8Array.of(0x2f, 0x65, ...tail));
  expect((await list("/e%C3?list")).keys.length).toBe(2);
  expect((await list("/e%FF?list")).keys.length).toBe(2);
  expect((await list("/e%FF%FF?list")).keys.length).toBe(1);
});

test("the operation is the first query parameter; anything else there is 403", async () => {
  for (const query of ["other", "limit=1&list", "start=/l/&unlinked", "LIST"]) {
    const answer = await cluster.ask("GET", `/l/?${query}`);
    expect(answer.status).toBe(403);
    expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  }
});

test("a list of more than a million keys wants a limit: 413; with one it pages through them", async () => {
  await using folder = temporaryFolder();
  const key = (i: number) => `/${i > 0 ? "m" : "k"}/${String(i).padStart(7, "0")}`;
  const records = function* () {
    for (let i = 0; i <= 1_000_000; i++) yield [key(i), "localhost:1/sv00"] as [string, string];
  };
  await writeRecords(`${folder.path}/index`, records());
  await using master = await startMaster({
    db: `${folder.path}/index`,
    volumes: ["localhost:1"],
    flags: ["-replicas", "1"],
  });
  const refused = await request(master.port, { target: "/?list", timeoutMs: 30_000 });
  expect(refused.status).toBe(413);
  expect(refused.text).toMatch(/^[^\n]{5,}\n?$/);
  const page = JSON.parse((await request(master.port, { target: "/?list&limit=3&start=/m/0999997" })).text);
  expect(page).toEqual({ next: key(1_000_000), keys: [key(999_997), key(999_998), key(999_999)] });
  const million = await request(master.port, { target: "/m/?list", timeoutMs: 30_000 });
  expect(JSON.parse(million.text).keys.length).toBe(1_000_000);
});
