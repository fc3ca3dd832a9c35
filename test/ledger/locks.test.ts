// A key has one writer at a time, whatever thread it is in.
import { expect, test } from "bun:test";
import { parseKey } from "../../src/format/key";
import { KeyLocks } from "../../src/ledger/level/locks";

test("a key that is taken is refused until it is given back", () => {
  const locks = new KeyLocks();
  {
    using _lock = locks.take(parseKey("/key"));
    expect(() => locks.take(parseKey("/key"))).toThrow("under way");
    using _other = locks.take(parseKey("/other"));
  }
  using _again = locks.take(parseKey("/key"));
});

test("ten thousand keys can be taken at once, and giving some back frees no other", () => {
  const locks = new KeyLocks();
  const keys = Array.from({ length: 10_000 }, (_, i) => parseKey(`/key-${i}`));
  const held = keys.map((key) => locks.take(key));
  for (let i = 0; i < held.length; i += 2) held[i]![Symbol.dispose]();
  for (const [i, key] of keys.entries()) {
    if (i % 2 === 1) expect(() => locks.take(key)).toThrow("under way");
    else locks.take(key);
  }
});

test("of many threads that want the same key one gets it", async () => {
  const shared = KeyLocks.share();
  const rounds = 2_000;
  const tally = new SharedArrayBuffer(rounds * 4);
  const workers = Array.from({ length: 4 }, () => new Worker(new URL("./locks.worker.ts", import.meta.url)));
  try {
    const ended = workers.map((worker) => new Promise((resolve) => (worker.onmessage = resolve)));
    for (const worker of workers) worker.postMessage({ shared, tally, rounds });
    await Promise.all(ended);
    expect([...new Int32Array(tally)].every((winners) => winners === 1)).toBe(true);
  } finally {
    for (const worker of workers) worker.terminate();
  }
});
