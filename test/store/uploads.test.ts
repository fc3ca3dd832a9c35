// An upload that is too old by the wall's clock is ended when it has been known as that for long by one that cannot be set.
import { afterEach, expect, setDefaultTimeout, setSystemTime, test } from "bun:test";
import { nowMs } from "../../src/clock";
import { type Key } from "../../src/format/key";
import { s3Limits } from "../../src/s3-limits";
import { type Store } from "../../src/store/store";
import { type OldUploads, beginUpload, sweep, uploadOf } from "../../src/store/uploads";
import { openLevel } from "../ledger/ledgers";

setDefaultTimeout(30_000);
afterEach(() => void setSystemTime());
const key = Buffer.from("/bucket/key") as Uint8Array as Key;

test("a clock that jumps ends no upload; one that is too old for long is ended, by its id", async () => {
  await using ledgers = await openLevel();
  const store = { ledger: ledgers.one } as unknown as Store;
  const stop = new AbortController().signal;
  const id = await beginUpload(store, key, { attributes: {} });
  setSystemTime(Date.now() + s3Limits.uploadMs + 1_000);
  const old: OldUploads = new Map();
  await sweep(store, old, stop);
  const sinceMs = old.get(id)!;
  await sweep(store, old, stop);
  expect([...old]).toEqual([[id, sinceMs]]);
  expect(await uploadOf(store, key, id)).toBeDefined();

  setSystemTime();
  old.set(id, nowMs() - s3Limits.knownOldMs);
  await sweep(store, old, stop);
  expect(old.size).toBe(0);
  expect(await uploadOf(store, key, id)).toBeDefined();

  setSystemTime(Date.now() + s3Limits.uploadMs + 1_000);
  await sweep(store, new Map([[id, nowMs() - s3Limits.knownOldMs]]), stop);
  expect(await uploadOf(store, key, id)).toBeUndefined();
});
