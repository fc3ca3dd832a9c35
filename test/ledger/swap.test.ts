// Whatever moment a crash chooses while a finished index takes the place of another, the right one of the two is served.
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { cleared, finishSwap, swapIndex, swapSteps } from "../../src/ledger/level/swap";
import { whyNoTrace } from "../durability/trace";
import { temporaryFolder } from "../support/folder";

const SWAP = join(import.meta.dir, "../../src/ledger/level/swap");
const why = await whyNoTrace();
if (why) console.log(`swap: not tested that each step is on the disk before the next: ${why}`);

/** A place with folders of these names, each holding one file with this text. */
function place(contents: Record<string, string>) {
  const at = temporaryFolder();
  for (const [name, text] of Object.entries(contents)) {
    mkdirSync(join(at.path, name));
    writeFileSync(join(at.path, name, "text"), text);
  }
  const now = () => {
    const names = readdirSync(at.path).sort();
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(at.path, name, "text"), "utf8")]));
  };
  return { index: join(at.path, "db"), now, [Symbol.asyncDispose]: () => at[Symbol.asyncDispose]() };
}

test("a finished index takes the place of the one in use, and nothing else is left", async () => {
  await using at = place({ db: "used", ".db.rebuild": "finished", ".db.old": "of an earlier swap", other: "kept" });
  swapIndex(at.index);
  expect(at.now()).toEqual({ db: "finished", other: "kept" });
});

test("a finished index takes its place where there was none", async () => {
  await using at = place({ ".db.rebuild": "finished" });
  swapIndex(`${at.index}/`);
  expect(at.now()).toEqual({ db: "finished" });
});

const before = [
  ["an index", { db: "used", ".db.rebuild": "finished" }],
  ["an index and an old one", { db: "used", ".db.rebuild": "finished", ".db.old": "stale" }],
  ["no index", { ".db.rebuild": "finished" }],
] as const;

test.each(before)(
  "over %s, a crash after any step leaves either the one in use or the finished one",
  async (_, contents) => {
    const steps = swapSteps("").length;
    for (let done = 0; done <= steps; done++) {
      await using at = place(contents);
      for (const step of swapSteps(at.index).slice(0, done)) step();
      finishSwap(at.index);
      const mended = at.now();
      if (done < 2) expect(mended).toEqual(contents);
      else expect(mended["db"]).toBe("finished");
      expect(Object.keys(mended)).not.toContain(".db.new");
      finishSwap(at.index);
      expect(at.now()).toEqual(mended);
    }
  },
);

test.each(before)("over %s, a mending that is killed after any step is mended in its turn", async (_, contents) => {
  const steps = swapSteps("").length;
  for (let done = 2; done <= steps; done++) {
    for (let again = 0; again <= steps - 2; again++) {
      await using at = place(contents);
      for (const step of swapSteps(at.index).slice(0, done)) step();
      const mending = existsSync(join(dirname(at.index), ".db.new")) ? swapSteps(at.index).slice(2, 2 + again) : [];
      for (const step of mending) step();
      finishSwap(at.index);
      expect(at.now()["db"]).toBe("finished");
    }
  }
});

test("the middle of a swap of version 0.1.0 brings the old index back", async () => {
  await using at = place({ "db.old": "used", "db.rebuild": "not synced" });
  finishSwap(at.index);
  expect(at.now()).toEqual({ db: "used", "db.rebuild": "not synced" });
});

test.each([".db.old", ".db.rebuild"])("a lone %s is not served", async (name) => {
  await using at = place({ [name]: "half" });
  finishSwap(at.index);
  expect(at.now()).toEqual({ [name]: "half" });
});

test("where there is an index and none that is finished, nothing is touched", async () => {
  const contents = { db: "used", ".db.old": "stale", ".db.rebuild": "half", "db.new": "of somebody else" };
  await using at = place(contents);
  finishSwap(at.index);
  expect(at.now()).toEqual(contents);
});

test("what an operator has laid beside the index stays, whatever happens there", async () => {
  const own = { "db.new": "of a trial", "db.old": "a copy", "db.rebuild": "another" };
  await using at = place({ db: "used", ".db.rebuild": "finished", ...own });
  finishSwap(at.index);
  swapIndex(at.index);
  expect(cleared(at.index)).toBe(join(dirname(at.index), ".db.rebuild"));
  expect(at.now()).toEqual({ db: "finished", ...own });
});

test("a swap that cannot be done says what is wrong, and goes on when that is mended", async () => {
  await using at = place({ db: "used", ".db.rebuild": "finished", ".db.new": "in the way" });
  const text = `a finished index cannot be put in its place, ${at.index}: ENOTEMPTY`;
  expect(() => swapIndex(at.index)).toThrow(text);
  finishSwap(at.index);
  swapIndex(at.index);
  expect(at.now()).toEqual({ db: "finished" });
});

test.skipIf(why !== undefined)("each step of a swap is on the disk before the next", async () => {
  await using at = place({ db: "used", ".db.rebuild": "finished" });
  const script = `(await import(${JSON.stringify(SWAP)})).swapIndex("${at.index}")`;
  const strace = ["strace", "-f", "-y", "-e", "trace=/^(fsync|rename)"];
  const { stderr } = Bun.spawnSync([...strace, process.execPath, "-e", script], { stderr: "pipe" });
  const above = dirname(at.index);
  const calls = [...stderr.toString().matchAll(/\b(fsync|rename)\w*\((.*?)(\) | <unfinished)/g)];
  const steps = calls
    .filter(([line]) => line.includes(above))
    .map(([, call, text]) => {
      const names = [...text!.matchAll(/[</"](?:[^<>"]*\/)?([^<>"/]+)[>"]/g)].map((match) => match[1]);
      return [call, ...names].join(" ");
    });
  const folder = `fsync ${basename(above)}`;
  const finished = ["fsync text", "fsync .db.rebuild", folder];
  const renamed = ["rename .db.rebuild .db.new", folder, "rename db .db.old", folder, "rename .db.new db", folder];
  expect(steps).toEqual([...finished, ...renamed]);
});
