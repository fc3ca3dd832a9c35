// A ledger that is slow holds up nobody who asks whether the store is ready.
import { expect, test } from "bun:test";
import { Readiness } from "../../../src/api/admin/status";
import { type Store } from "../../../src/store/store";

const readinessOf = (get: () => unknown) => new Readiness({ ledger: { get }, minreplicas: 0 } as unknown as Store);

test("a ledger that does not answer is waited for once, for a second, and asked once, until it does", async () => {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let asked = 0;
  const readiness = readinessOf(() => {
    asked++;
    return promise;
  });
  const startMs = performance.now();
  const silent = "the index cannot be read: it does not answer within 1000 ms";
  expect(await Promise.all([readiness.whyNot([]), readiness.whyNot([])])).toEqual([silent, silent]);
  const firstMs = performance.now() - startMs;
  expect(await readiness.whyNot([])).toBe(silent);
  expect(performance.now() - startMs - firstMs).toBeLessThan(500);
  expect([asked, firstMs >= 990]).toEqual([1, true]);
  resolve(undefined);
  await Bun.sleep(0);
  expect(await readiness.whyNot([])).toBeUndefined();
  expect(asked).toBe(2);
});

test("a ledger that fails is no answer", async () => {
  const readiness = readinessOf(() => {
    throw new Error("the disk is gone");
  });
  expect(await readiness.whyNot([])).toBe("the index cannot be read: the disk is gone");
});
