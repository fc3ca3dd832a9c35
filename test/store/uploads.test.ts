// An upload that is too old by the wall's clock is ended when it has been known as that for long by one that cannot be set.
import { afterEach, expect, setDefaultTimeout, setSystemTime, test } from "bun:test";
import { nowMs } from "../../src/clock";
import { MkvError, reasonOf } from "../../src/errors";
import { type Key } from "../../src/format/key";
import { s3Limits } from "../../src/s3-limits";
import { type Store } from "../../src/store/store";
import { type OldUploads, beginUpload, sweep, uploadName, uploadOf } from "../../src/store/uploads";
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

test("an upload whose object is there is ended, whatever its age, and though another one cannot be looked at", async () => {
  await using ledgers = await openLevel();
  const { one: ledger } = ledgers;
  const store = { ledger } as unknown as Store;
  const other = Buffer.from("/bucket/a") as Uint8Array as Key;
  const [id, open] = [
    await beginUpload(store, key, { attributes: {} }),
    await beginUpload(store, key, { attributes: {} }),
  ];
  await beginUpload(store, other, { attributes: {} });
  const record = { state: "live", md5: "0".repeat(32), volumes: ["localhost:1"] } as const;
  const object = { record, owed: [], attributes: { [uploadName]: id } };
  await (await ledger.claim(key, () => object))[Symbol.asyncDispose]();
  const look = (asked: Key) => {
    if (Buffer.compare(asked, key) === 0) return ledger.look(asked);
    throw new MkvError("corrupt", "it is damaged");
  };
  const damaged = { ledger: Object.assign(Object.create(ledger) as typeof ledger, { look }) } as unknown as Store;
  const swept = sweep(damaged, new Map(), new AbortController().signal);
  expect(await swept.catch(reasonOf)).toBe("it is damaged");
  expect(await uploadOf(store, key, id)).toBeUndefined();
  expect(await uploadOf(store, key, open)).toBeDefined();
});
