// What every ledger keeps to, whichever it is: LevelDB in a folder, or a database that several masters share.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Key } from "../../src/format/key";
import { encodeRecord } from "../../src/format/record";
import { type Entry, type Known, type Ledger } from "../../src/ledger/ledger";
import { temporaryFolder } from "../support/folder";
import { startPostgres, type Postgres } from "../support/postgres";
import { debt, draftedLevel, draftedPostgres, holding, keyOf, live, openLevel, openPostgres, same } from "./ledgers";

setDefaultTimeout(30_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

async function store(ledger: Ledger, key: Key, entry: Entry, againMs = 0): Promise<void> {
  await using claim = await ledger.claim(key, same);
  await claim.end(entry, { againMs });
}

const plain = ({ key, ...known }: Known) => ({ ...known, key: Buffer.from(key).toString() });

async function dueIn(ledger: Ledger): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of ledger.due()) keys.push(...page.map(({ key }) => Buffer.from(key).toString()));
  return keys;
}

async function scanned(ledger: Ledger, range: Parameters<Ledger["scan"]>[0], atOnce?: number): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  for await (const page of ledger.scan(range, atOnce === undefined ? {} : { atOnce }))
    keys.push(...page.map(([key]) => Buffer.from(key)));
  return keys;
}

describe.each([
  ["LevelDB", openLevel],
  ["PostgreSQL", () => openPostgres(server)],
])("%s", (_, open) => {
  test("what is put is known to all, and what was never put is not", async () => {
    await using at = await open();
    await store(at.one, keyOf("/key"), holding("a:1", "b:1"));
    expect(await at.other.get(keyOf("/key"))).toEqual(live("a:1", "b:1"));
    expect(await at.one.get(keyOf("/other"))).toBeUndefined();
  });

  test("a key is one's until it is given back, and nobody else's meanwhile", async () => {
    await using at = await open();
    const key = keyOf("/key");
    const claim = await at.one.claim(key, (before) => ({ ...before, owed: [debt("a:1")] }), { expect: "nothing" });
    for (const ledger of [at.one, at.other])
      for (const expect_ of ["nothing", "something"] as const)
        expect(await ledger.claim(key, same, { expect: expect_ }).catch(({ code }) => code)).toBe("busy");
    expect(await at.other.get(key)).toBeUndefined();
    await claim.end(holding("a:1"));
    await using next = await at.other.claim(key, same, { expect: "nothing" });
    expect(next.entry).toEqual(holding("a:1"));
  });

  test("what `begin` refuses changes nothing, whatever was expected", async () => {
    await using at = await open();
    const key = keyOf("/key");
    await store(at.one, key, holding("a:1"));
    for (const expected of ["nothing", "something"] as const) {
      const seen: Entry[] = [];
      const refuse = (before: Entry) => {
        seen.push(before);
        throw new Error("no");
      };
      expect(await at.other.claim(key, refuse, { expect: expected }).catch(({ message }) => message)).toBe("no");
      expect(seen.at(-1)).toEqual(holding("a:1"));
    }
    await using claim = await at.one.claim(key, same);
    expect(claim.entry).toEqual(holding("a:1"));
  });

  test("a claim that is only disposed of leaves what was put last", async () => {
    await using at = await open();
    const key = keyOf("/key");
    {
      await using claim = await at.one.claim(key, same);
      await claim.put({ record: undefined, owed: [debt("a:1")] });
      await claim.put({ record: live("b:1"), owed: [debt("a:1", "stray", 60_000)] });
    }
    await using claim = await at.other.claim(key, same);
    expect(claim.entry.record).toEqual(live("b:1"));
    await using untouched = await at.one.claim(keyOf("/nothing"), same);
    expect(untouched.entry).toEqual({ record: undefined, owed: [] });
  });

  test("what is owed is told with its kind and its times, and is due when it was to be looked at again", async () => {
    await using at = await open();
    const owed = [debt("a:1/sv03", "in-flight", 6500), debt("b:1", "left-over"), debt("c:1", "stray", 120_000)];
    await store(at.one, keyOf("/now"), { record: live("d:1"), owed });
    await store(at.one, keyOf("/later"), { record: undefined, owed: [debt("a:1")] }, 600_000);
    expect(await dueIn(at.one)).toEqual(["/now"]);
    const found = await at.one.owedBy(keyOf("/now"));
    expect(found.map(({ volume, kind }) => `${volume} ${kind}`)).toEqual(
      owed.map(({ volume, kind }) => `${volume} ${kind}`),
    );
    await using claim = await at.one.claim(keyOf("/now"), same);
    for (const [i, { sinceMs, untilMs }] of claim.entry.owed.entries()) {
      expect(Math.abs(sinceMs - owed[i]!.sinceMs)).toBeLessThan(1000);
      expect(untilMs - owed[i]!.untilMs).toBeGreaterThanOrEqual(0); // Rather too long than too short.
      expect(untilMs - owed[i]!.untilMs).toBeLessThan(1000);
    }
  });

  test("what another thread has come to owe a moment ago is known to who has the key", async () => {
    await using at = await open();
    const key = keyOf("/moved");
    expect(await at.one.owedBy(key)).toEqual([]);
    await store(at.one, key, { record: live("b:1"), owed: [debt("a:1")] }, 600_000);
    await store(at.other, key, { record: live("b:1"), owed: [debt("a:1"), debt("c:1", "stray", 60_000)] }, 600_000);
    await using _claim = await at.one.claim(key, same);
    expect((await at.one.owedBy(key)).map(({ volume }) => volume)).toEqual(["a:1", "c:1"]);
  });

  test("what others owe is found out as fast as it can be read", async () => {
    await using at = await open();
    for (let i = 0; i < 50; i++) expect(await at.one.owedBy(keyOf(`/${i}`))).toEqual([]);
  }, 5_000);

  test("a key that is forgotten is gone, and a later one of its name is another", async () => {
    await using at = await open();
    const key = keyOf("/key");
    await store(at.one, key, holding("a:1"));
    await store(at.other, key, { record: undefined, owed: [] });
    expect(await at.one.get(key)).toBeUndefined();
    expect(await scanned(at.one, {})).toEqual([]);
    await store(at.one, key, holding("b:1"));
    expect(await at.other.get(key)).toEqual(live("b:1"));
  });

  test("attributes go with their value and no other, and a replacement is known until it is in place", async () => {
    await using at = await open();
    const key = keyOf("/key");
    const record = live("a:1");
    await store(at.one, key, { record, attributes: { type: "text/plain" }, owed: [] });
    expect(await at.other.look(key)).toEqual({ record, attributes: { type: "text/plain" } });
    await store(at.one, key, { record: { ...record, volumes: ["b:1"] }, owed: [] }); // It was moved.
    expect((await at.other.look(key)).attributes).toEqual({ type: "text/plain" });
    const next = { ...live("c:1"), md5: "1".repeat(32) };
    const forward = {
      record: next,
      bytes: 5,
      date: "Thu, 01 Jan 2026 00:00:00 GMT",
      attributes: { type: "image/png" },
    };
    await store(at.other, key, { record, forward, owed: [debt("c:1", "staged")] });
    expect((await at.one.look(key)).forward).toEqual(forward);
    expect((await at.one.owedBy(key)).map(({ kind }) => kind)).toEqual(["staged"]);
    await store(at.one, key, { record: next, attributes: forward.attributes, owed: [] });
    expect(await at.other.look(key)).toEqual({ record: next, attributes: { type: "image/png" } });
    await store(at.one, key, { record: { ...next, md5: "2".repeat(32) }, owed: [] });
    expect((await at.other.look(key)).attributes).toBeUndefined();
  });

  test("keys of any bytes are told apart, and listed in the order of these", async () => {
    await using at = await open();
    const keys = [[0], [0, 0], [0xff], [0xff, 0xff], [0xc3], [0xc3, 0xa9], [0x22, 0x5c, 0x7b, 0x2c, 0x7d]]
      .map((bytes) => Buffer.concat([Buffer.from("/"), Buffer.from(bytes)]))
      .concat(Buffer.alloc(1024, "/"), Buffer.from("/"));
    for (const [i, key] of keys.entries()) await store(at.one, keyOf(key), holding(`v${i}:1`));
    const records = await Promise.all(keys.map((key) => at.other.get(keyOf(key))));
    expect(records).toEqual(keys.map((_, i) => live(`v${i}:1`)));
    const ordered = keys.toSorted(Buffer.compare);
    expect(await scanned(at.other, {})).toEqual(ordered);
    const range = { start: Buffer.from("/\0\0"), end: Buffer.from([0x2f, 0xff]) };
    const within = ordered.filter((key) => range.start.compare(key) <= 0 && range.end.compare(key) > 0);
    expect(await scanned(at.other, range)).toEqual(within);
  });

  test("a list is whole and in order however it is read, and lacks what has no record", async () => {
    await using at = await open();
    const keys = Array.from({ length: 300 }, (_, i) => `/${String(i).padStart(3, "0")}`);
    await Promise.all(keys.map((key, i) => store(i % 2 ? at.one : at.other, keyOf(key), holding("a:1"))));
    await store(at.one, keyOf("/1-owing"), { record: undefined, owed: [debt("a:1")] });
    for (const atOnce of [1, 7, 299, 300, undefined])
      expect((await scanned(at.one, {}, atOnce)).map(String)).toEqual(keys);
    for await (const [first] of at.one.scan({}, { atOnce: 10 })) {
      expect(first).toEqual(
        [keyOf("/000"), encodeRecord(live("a:1"))].map((it, i) => (i ? it : expect.anything())) as never,
      );
      break; // A reader may leave.
    }
  });

  test("of many who want one key at once each has it alone", async () => {
    await using at = await open();
    const key = keyOf("/key");
    let [within, most, done] = [0, 0, 0];
    const work = async (ledger: Ledger) => {
      for (let tries = 0; tries < 500; tries++) {
        try {
          await using claim = await ledger.claim(key, same, { expect: done % 2 ? "nothing" : "something" });
          most = Math.max(most, ++within);
          const count = Number(claim.entry.record?.volumes[0]?.split(":")[1] ?? 0);
          within--; // The next one may have it before this one hears that it has ended.
          await claim.end(holding(`count:${count + 1}`));
          done++;
          return;
        } catch (error) {
          expect((error as { code?: string }).code).toBe("busy");
          await Bun.sleep(Math.random() * 10);
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, i) => work(i % 2 ? at.one : at.other)));
    expect([most, done, (await at.one.get(key))?.volumes]).toEqual([1, 20, ["count:20"]]);
  });

  test("what is remembered is there for all, by name and in pages", async () => {
    await using at = await open();
    const { memory } = at.one;
    for (const name of ["id b", "id a", "id", "ie", "id ü"]) await memory.put(name, { name });
    await memory.put("id a", [1, null]);
    await memory.delete("id b");
    expect(await at.other.memory.get("id a")).toEqual([1, null]);
    expect([await at.other.memory.get("id b"), await at.other.memory.get("never")]).toEqual([undefined, undefined]);
    expect(await at.other.memory.page("id ", { atMost: 1 })).toEqual([["id a", [1, null]]]);
    expect(await at.other.memory.page("id ", { after: "id a", atMost: 9 })).toEqual([["id ü", { name: "id ü" }]]);
  });

  test("a dump of it holds all that is known; what is made of that knows it again", async () => {
    const forward = { record: live("c:1"), bytes: 5, date: "Thu, 26 Nov 2026 10:00:00 GMT", attributes: { type: "b" } };
    await using at = await open();
    await store(at.one, keyOf("/a"), {
      ...holding("a:1"),
      owed: [debt("b:1", "left-over")],
      attributes: { type: "a" },
    });
    await store(at.other, keyOf("/b"), { record: undefined, owed: [debt("c:1")] });
    await store(at.one, keyOf("/c"), { ...holding("a:1"), owed: [debt("c:1", "staged")], forward });
    await store(at.one, keyOf("/d"), holding("a:1"));
    const seen = (await Array.fromAsync(at.one.dump().keys)).flat();
    expect(seen.map(({ key, record, owed, ...beside }) => [String(Buffer.from(key)), record, owed, beside])).toEqual([
      ["/a", encodeRecord(live("a:1")), [{ volume: "b:1", kind: "left-over" }], { attributes: { type: "a" } }],
      ["/b", undefined, [{ volume: "c:1", kind: "in-flight" }], {}],
      ["/c", encodeRecord(live("a:1")), [{ volume: "c:1", kind: "staged" }], { forward }],
      ["/d", encodeRecord(live("a:1")), [], {}],
    ]);
    await using folder = temporaryFolder();
    for (const made of [await draftedLevel(join(folder.path, "made"), seen), await draftedPostgres(server, seen)]) {
      await using ledger = made;
      expect((await Array.fromAsync(ledger.dump().keys)).flat().map(plain)).toEqual(seen.map(plain));
    }
  });
});
