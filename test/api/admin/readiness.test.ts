// A ledger that is slow holds up nobody who asks whether the store is ready; what is wrong with a store is told.
import { expect, test } from "bun:test";
import { serveAdmin } from "../../../src/api/admin/dialect";
import { type Observer } from "../../../src/api/admin/observer";
import { Readiness, type StatusSources, statusOf } from "../../../src/api/admin/status";
import { mostConnections } from "../../../src/api/admission";
import { keysOwed } from "../../../src/ledger/measures";
import { limits } from "../../../src/limits";
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

test("that the index is older, that very much is owed, and that there are too many connections are problems", () => {
  const topology = { volumes: [], replicas: 1, subvolumes: 10 };
  const observer = { reports: () => [], jobs: { running: [] } } as unknown as Observer;
  const problems = (age: "current" | "older", connections: number) => {
    const store = { topology, minreplicas: 1, volumes: { topology, health: {} }, ledger: { age } } as unknown as Store;
    const sources = { store, observer, version: "0", threads: 1, stop: new AbortController().signal };
    return statusOf(sources, { whyNotReady: undefined, connections }).problems;
  };
  expect(problems("current", mostConnections - 1)).toEqual([]);
  keysOwed.set(limits.debts / 2);
  expect(problems("older", mostConnections)).toEqual([
    "the index may lack what was acknowledged last: run rebuild",
    "50000 keys with files left on volumes that are away",
    `${mostConnections} connections are too many: raise the number of open files (LimitNOFILE)`,
  ]);
  keysOwed.set(0);
});

test("an admin port that is taken between the first look and its opening is told by its flag", async () => {
  using taken = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
  const { port } = taken;
  expect(() => serveAdmin({ store: {} } as StatusSources, { port, bind: "127.0.0.1" })).toThrow(
    `port ${port} of 127.0.0.1 is in use: choose another with -adminport`,
  );
});
