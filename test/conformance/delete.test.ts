import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { recordsIn } from "../support/records";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** Throws unless nothing shows a key any more. */
async function expectGone(key: string): Promise<void> {
  expect((await cluster.ask("GET", key)).status).toBe(404);
  expect([await cluster.keys("list", key), await cluster.keys("unlinked", key)]).toEqual([[], []]);
  for (const method of ["DELETE", "UNLINK"]) expect((await cluster.ask(method, key)).status).toBe(404);
}

test("a deleted key is gone from its volumes and from both lists", async () => {
  await cluster.store("/gone");
  expect(cluster.filesOf(pathOf("/gone")).length).toBe(3);
  const answer = await cluster.ask("DELETE", "/gone");
  expect([answer.status, answer.text]).toEqual([204, ""]);
  expect(cluster.filesOf(pathOf("/gone"))).toEqual([]);
  expect((await cluster.ask("GET", "/gone")).status).toBe(404);
  expect([await cluster.keys("list", "/gone"), await cluster.keys("unlinked", "/gone")]).toEqual([[], []]);
});

test("a deleted key can be written again", async () => {
  await cluster.store("/phoenix");
  await cluster.ask("DELETE", "/phoenix");
  expect((await cluster.ask("PUT", "/phoenix", { body: "risen" })).status).toBe(201);
  expect((await follow(await cluster.ask("GET", "/phoenix"))).text).toBe("risen");
});

test.each(["DELETE", "UNLINK"])("%s of an absent key is 404, with the reason in a line", async (method) => {
  const answer = await cluster.ask(method, "/absent");
  expect(answer.status).toBe(404);
  expect(answer.text).toMatch(/^[^\n]*\n?$/);
});

test("an unlinked key is not there any more, but its value stays on the volumes", async () => {
  await cluster.store("/soft");
  const answer = await cluster.ask("UNLINK", "/soft");
  expect([answer.status, answer.text]).toEqual([204, ""]);
  expect((await cluster.ask("GET", "/soft")).status).toBe(404);
  expect([await cluster.keys("list", "/soft"), await cluster.keys("unlinked", "/soft")]).toEqual([[], ["/soft"]]);
  expect(cluster.filesOf(pathOf("/soft")).length).toBe(3);
  expect((await cluster.ask("UNLINK", "/soft")).status).toBe(404);
});

test("an unlinked key can be deleted for good", async () => {
  await cluster.store("/soft-then-hard");
  await cluster.ask("UNLINK", "/soft-then-hard");
  expect((await cluster.ask("DELETE", "/soft-then-hard")).status).toBe(204);
  expect(cluster.filesOf(pathOf("/soft-then-hard"))).toEqual([]);
  expect(await cluster.keys("unlinked", "/soft-then-hard")).toEqual([]);
  expect((await cluster.ask("DELETE", "/soft-then-hard")).status).toBe(404);
});

test("deleting needs no volume to have the value still", async () => {
  await cluster.store("/half-lost");
  for (const { file } of cluster.filesOf(pathOf("/half-lost")).slice(1)) await Bun.file(file).delete();
  expect((await cluster.ask("DELETE", "/half-lost")).status).toBe(204);
  expect(cluster.filesOf(pathOf("/half-lost"))).toEqual([]);
});

test("a deletion is done though a volume is down, and what that still has goes when it is back", async () => {
  await cluster.store("/stubborn");
  const [down] = cluster.volumes;
  await down!.kill();
  try {
    const answer = await cluster.ask("DELETE", "/stubborn");
    expect([answer.status, answer.text]).toEqual([204, ""]);
    await expectGone("/stubborn");
    expect(cluster.filesOf(pathOf("/stubborn")).length).toBe(1); // On the volume that is down.
    await cluster.startMaster();
    await expectGone("/stubborn");
  } finally {
    await down!.restart();
  }
  await until(() => cluster.filesOf(pathOf("/stubborn")).length === 0, {
    what: "the file goes when the volume is back",
    deadlineMs: 30_000,
  });
  await expectGone("/stubborn");
  await cluster.recovered();
});

test("a deletion that hangs on a frozen volume ends in bounded time", async () => {
  await cluster.store("/frozen");
  cluster.volumes[0]!.freeze();
  try {
    expect((await cluster.ask("DELETE", "/frozen", { timeoutMs: 40_000 })).status).toBe(204);
    await expectGone("/frozen");
  } finally {
    cluster.volumes[0]!.thaw();
  }
  await until(() => cluster.filesOf(pathOf("/frozen")).length === 0, {
    what: "the file goes when the volume thaws",
    deadlineMs: 30_000,
  });
  await expectGone("/frozen");
  await cluster.recovered();
});

test("under -protect only an unlinked key can be deleted or replaced", async () => {
  await using guarded = await startCluster({ flags: ["-protect"] });
  await guarded.ask("PUT", "/dear", { body: "dear" });
  const refused = await guarded.ask("DELETE", "/dear");
  expect(refused.status).toBe(403);
  expect(refused.text).toMatch(/^[^\n]{5,}\n?$/);
  expect((await guarded.ask("PUT", "/dear?replace", { body: "cheap" })).status).toBe(403);
  expect((await follow(await guarded.ask("GET", "/dear"))).text).toBe("dear");
  expect((await guarded.ask("UNLINK", "/dear")).status).toBe(204);
  expect((await guarded.ask("DELETE", "/dear")).status).toBe(204);
  expect(guarded.filesOf(pathOf("/dear"))).toEqual([]);
  expect((await guarded.ask("DELETE", "/dear")).status).toBe(404);
});

test("a PUT over an unlinked key takes the old files along when the key has moved since", async () => {
  await using moved = await startCluster({ volumes: 4, flags: ["-replicas", "2"] });
  const keys = Array.from({ length: 8 }, (_, i) => `/moving-${i}`);
  for (const key of keys) {
    await moved.ask("PUT", key, { body: "old" });
    await moved.ask("UNLINK", key);
  }
  await moved.startMaster(["-replicas", "2", "-subvolumes", "3"]);
  for (const key of keys) {
    expect((await moved.ask("PUT", key, { body: "new" })).status).toBe(201);
    expect((await follow(await moved.ask("GET", key))).text).toBe("new");
  }
  const fresh = [md5Hex("new"), md5Hex("new")].join();
  const settled = () =>
    keys.every(
      (key) =>
        moved
          .filesOf(pathOf(key))
          .map(({ md5 }) => md5)
          .join() === fresh,
    );
  await until(settled, { what: "only the two files of each new value are left" });
  await moved.master.stop();
  for (const { value } of await recordsIn(moved.db)) expect(value.split(",").length).toBe(2);
});
