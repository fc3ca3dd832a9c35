// The text of a backup: what goes in comes out, and what is not whole is not believed.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Key } from "../../src/format/key";
import { backupOf } from "../../src/ledger/backup";
import { draftLevel } from "../../src/ledger/level/next";
import { limits } from "../../src/limits";
import { openLevelLedger } from "../../src/ledger/level/open";
import { type Known, type Ledger } from "../../src/ledger/ledger";
import { type Lack } from "../../src/ledger/next";
import { readBackup } from "../../src/ledger/read-backup";
import { oddKeys } from "../jobs/keys";
import { temporaryFolder } from "../support/folder";
import { opening } from "./ledgers";

const topology = { volumes: ["a:1", "b:1", "c:1"], replicas: 2, subvolumes: 10 };
const md5 = "0123456789abcdef0123456789abcdef";
const debts: Known["owed"] = [
  { volume: "a:1/sv00", kind: "left-over" },
  { volume: "b:1/sv01", kind: "in-flight" },
];
const records = ["a:1/sv00,b:1/sv01", `HASH${md5}a:1/sv00`, `DELETEDHASH${md5}c:1/sv09`, "no record\u0000", undefined];

/** Keys of every kind, in order, with records and debts of every kind. */
const known: readonly Known[] = [...oddKeys, Buffer.from([0x2f, 0xf4, 0x8f, 0xbf, 0xbf])]
  .map((key) => Buffer.from(key as string) as Uint8Array as Key)
  .sort(Buffer.compare)
  .map((key, i) => ({ key, record: records[i % 5], owed: records[i % 5] === undefined || i % 3 === 0 ? debts : [] }));

/** A key with what S3 keeps of it, and one that is being replaced. */
const attributed: readonly Known[] = [
  {
    key: Buffer.from("/~~a") as Uint8Array as Key,
    record: `HASH${md5}a:1/sv00`,
    owed: [],
    attributes: { type: "text/plain" },
  },
  {
    key: Buffer.from("/~~b") as Uint8Array as Key,
    record: `HASH${md5}b:1/sv01`,
    owed: [{ volume: "a:1/sv02", kind: "staged" }],
    forward: {
      record: { state: "live", md5: md5.replaceAll("0", "f"), volumes: ["a:1/sv02"] },
      over: `HASH${md5}b:1/sv01`,
      ...{ bytes: 5, date: "Thu, 26 Nov 2026 10:00:00 GMT", attributes: {} },
    },
  },
];

const ids = [["id a:1", "one"] as const, ["id b:1", null] as const];

/** A ledger as a backup sees it. */
function ledgerOf(keys: readonly Known[]): Ledger {
  const memory = { page: (prefix: string) => ids.filter(([name]) => name.startsWith(prefix)) };
  const dump = () => ({
    isConsistent: true,
    keys: (async function* () {
      yield keys;
    })(),
  });
  return { memory, age: "current", dump } as unknown as Ledger;
}

async function textOf(keys: readonly Known[]): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(backupOf(ledgerOf(keys), { topology, names: ["id "] })));
}

/** What a backup says. */
async function read(text: Uint8Array, pieceBytes = text.length) {
  const said = { header: undefined as unknown, remembered: [] as unknown[], keys: [] as Known[] };
  const pieces = (async function* () {
    for (let at = 0; at < text.length; at += pieceBytes) yield text.subarray(at, at + pieceBytes);
  })();
  const counts = await readBackup(pieces, {
    header: (header) => void (said.header = header),
    remembered: (name, value) => void said.remembered.push([name, value]),
    keys: (keys) => void said.keys.push(...keys),
  });
  return { ...said, counts };
}

test("every key, record and debt comes back as it was, however the text is cut into pieces", async () => {
  const all = [...known, ...attributed].sort((a, b) => Buffer.compare(a.key, b.key));
  const text = await textOf(all);
  for (const pieceBytes of [1, 7, 100, text.length]) {
    const { header, remembered, keys, counts } = await read(text, pieceBytes);
    expect(keys).toEqual(all);
    expect(remembered).toEqual(ids as never);
    expect(header).toMatchObject({ topology, isConsistent: true, isBehind: false });
    expect(counts).toMatchObject({ keys: all.filter(({ record }) => record).length });
  }
});

test("a backup that was cut anywhere, or in which a byte was changed, is refused in one line", async () => {
  const text = await textOf(known.slice(0, 6));
  const end = text.length - 1; // The last newline may be missing.
  for (let at = 0; at < end; at++) {
    const changed = Buffer.from(text);
    changed[at]! ^= 1;
    for (const wrong of [text.subarray(0, at), changed]) {
      const failure = await read(wrong).then(
        () => "taken",
        (error) => error.message as string,
      );
      expect([at, failure]).toEqual([at, expect.stringMatching(/^(?!taken)[^\n]+$/)]);
    }
  }
  await read(text.subarray(0, end));
});

test.each([
  ["nothing", "", "nothing came in"],
  ["a list of keys", '{"next":"","keys":["/a"]}\n', "no backup"],
  ["what is no JSON", "hello\nworld\n", "no backup"],
  ["one without end of line", "x".repeat(3_000_000), "no backup"],
  ["a newer version", '{"mkv":"backup","version":2}\n', "version 2"],
])("%s is no backup", async (_, text, why) => {
  expect(
    await read(Buffer.from(text), 65_536).then(
      () => "taken",
      (error) => error.message,
    ),
  ).toContain(why);
});

test("what has no end of line is given up before all of it has come", async () => {
  let pieces = 0;
  const endless = (async function* () {
    for (; pieces < 1_000; pieces++) yield Buffer.alloc(65_536, "x");
  })();
  await expect(readBackup(endless, { header() {}, keys() {} })).rejects.toThrow("no backup");
  expect(pieces).toBeLessThan(100);
});

/** The same backup with this line in the place of one of its own, and an end that fits. */
function forged(text: Buffer, at: number, line: string): Buffer {
  const lines = text.toString().split("\n").slice(0, -2);
  const end = JSON.parse(text.toString().split("\n").at(-2)!);
  lines[at] = line;
  const body = lines.map((each) => `${each}\n`).join("");
  return Buffer.from(
    `${body}${JSON.stringify({ ...end, sha256: new Bun.CryptoHasher("sha256").update(body).digest("hex") })}\n`,
  );
}

const header = { mkv: "backup", version: 1, time: "2026-11-26T10:00:00Z", topology, consistent: true, behind: false };
const key = (text: string) => JSON.stringify({ key: text, state: "live", md5, volumes: ["a:1/sv00"] });
test.each([
  [
    "a header without a time",
    0,
    JSON.stringify({ ...header, time: "soon" }),
    "line 1 of the backup lacks what a first line says",
  ],
  [
    "a header without its kind",
    0,
    JSON.stringify({ ...header, behind: "no" }),
    "line 1 of the backup lacks what a first line says",
  ],
  ["a memory without a name", 1, '{"remembered":7,"value":1}', "line 2 of the backup says what this version"],
  ["a memory without a value", 1, '{"remembered":"id a:1"}', "line 2 of the backup says what this version"],
  [
    "a memory with something else",
    1,
    '{"remembered":"id a:1","value":1,"more":2}',
    "line 2 of the backup says what this version",
  ],
  ["a key twice", 4, key("/a"), "line 5 of the backup is out of order"],
  ["a key that is too long", 4, key(`/${"c".repeat(70_000)}`), "line 5 of the backup has a key of 70001 bytes"],
  ["keys that are not in order", 4, key("/0"), "line 5 of the backup is out of order"],
  ["what is no key", 4, '{"key":7}', "line 5 of the backup says what this version"],
])("a backup that is whole, and has %s, is refused", async (_, at, line, why) => {
  const text = await textOf(
    ["/a", "/b", "/c"].map((name) => ({ ...known[0]!, key: Buffer.from(name) as Uint8Array as Key })),
  );
  expect(text.toString().split("\n")[at]).toBeDefined();
  expect((await read(forged(text, at, text.toString().split("\n")[at]!))).keys.length).toBe(3);
  await expect(read(forged(text, at, line))).rejects.toThrow(why);
});

const lack: Lack = { why: "was imported", fromMs: Date.now(), laterMs: undefined };

/** All that is known of a key as text, whatever the order of its debts. */
function shown({ key, record, owed, attributes, forward }: Known): string {
  const beside = JSON.stringify([attributes, forward]);
  return [
    Buffer.from(key).toString("hex"),
    record,
    beside,
    ...owed.map(({ volume, kind }) => volume + kind).sort(),
  ].join(" ");
}

/** What a ledger knows that was made of these keys. */
async function drafted(path: string, keys: readonly Known[], options: { lack: Lack | undefined }) {
  await using draft = await draftLevel(path, options);
  await draft.putAll(keys);
  await draft.finish(new Map(ids));
}

test("a ledger made of the latest backup owes what was owed; of an earlier one it is older, and owes nothing", async () => {
  await using folder = temporaryFolder();
  const all = [...known, ...attributed].sort((a, b) => Buffer.compare(a.key, b.key));
  const whole = all.filter(({ record }) => record !== "no record\u0000");
  for (const [name, options] of [
    ["latest", { lack: undefined }],
    ["older", { lack }],
  ] as const) {
    const path = join(folder.path, name);
    await drafted(path, whole, options);
    const { ledger } = await openLevelLedger(path, opening);
    const { memory } = ledger;
    await using _closed = ledger;
    const keys = (await Array.fromAsync(ledger.dump().keys)).flat();
    const isLatest = name === "latest";
    const expected = whole.map((one) => (isLatest ? one : { ...one, owed: [] }));
    expect(keys.map(shown)).toEqual(expected.filter(({ record }) => isLatest || record).map(shown));
    expect([ledger.age !== "current", memory.get("id a:1")]).toEqual([name === "older", "one"]);
  }
});

test("of more keys than one step reads each comes with what lies beside it", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  const many = Array.from({ length: 2 * limits.scanKeys + 10 }, (_, i): Known => {
    const key = Buffer.from(`/${String(i).padStart(6, "0")}`) as Uint8Array as Key;
    return { key, record: `HASH${md5}a:1/sv00`, owed: [], attributes: { number: String(i) } };
  });
  await drafted(path, many, { lack: undefined });
  const { ledger } = await openLevelLedger(path, opening);
  await using _closed = ledger;
  expect((await Array.fromAsync(ledger.dump().keys)).flat().map(shown)).toEqual(many.map(shown));
});

test("a draft that is not finished leaves nothing; one over keys is refused", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  {
    await using draft = await draftLevel(path, { lack });
    await draft.putAll(known);
  }
  await drafted(path, [], { lack: undefined });
  await drafted(path, known.slice(0, 5), { lack: undefined });
  expect(draftLevel(path, { lack })).rejects.toThrow("is not empty");
});
