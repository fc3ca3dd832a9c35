import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { dial, follow, head } from "../support/http";
import { pathOf } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);

test("a master killed in the middle of a PUT never shows the key, and it can be written again", async () => {
  await using cluster = await startCluster();
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/cut", headers: { "Content-Length": "1000000" } }, { close: true }));
  wire.write(valueOf("cut", 500_000));
  await until(() => isUnderWay(cluster.master.port, "/cut"), { what: "the PUT has begun" });
  await cluster.master.kill();
  await cluster.startMaster();
  expect((await cluster.ask("GET", "/cut")).status).toBe(404);
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], []]);
  const written = async () => {
    const { status } = await cluster.ask("PUT", "/cut", { body: "again" });
    expect([201, 503]).toContain(status); // What the volumes may still have of the first write is waited for.
    return status === 201;
  };
  await until(written, { what: "the key is written again", deadlineMs: 20_000 });
  expect((await follow(await cluster.ask("GET", "/cut"))).text).toBe("again");
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([["/cut"], []]);
  await until(() => cluster.remains().length === 3, { what: "the volumes drop what was cut" });
});

test("a master killed in the middle of a PUT of an unlinked key leaves a key that can be deleted", async () => {
  await using cluster = await startCluster();
  await cluster.ask("PUT", "/cut", { body: "old" });
  await cluster.ask("UNLINK", "/cut");
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/cut", headers: { "Content-Length": "1000000" } }, { close: true }));
  wire.write(valueOf("cut", 500_000));
  await until(() => isUnderWay(cluster.master.port, "/cut"), { what: "the PUT has begun" });
  await cluster.master.kill();
  await cluster.startMaster();
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], ["/cut"]]);
  expect((await cluster.ask("DELETE", "/cut")).status).toBe(204);
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], []]);
  const gone = () => cluster.remains().length === 0;
  await until(gone, { what: "its files go when the volumes have settled", deadlineMs: 30_000 });
});

interface Known {
  stored: string[];
  deleted: string[];
}

/** Writes, and deletes every third key again, until the master is gone; gives what was acknowledged. */
async function writeUntilKilled(cluster: Cluster, name: string): Promise<Known> {
  const known: Known = { stored: [], deleted: [] };
  for (let i = 0; ; i++) {
    const key = `/${name}-${i}`;
    const written = await cluster.ask("PUT", key, { body: `value of ${key}` }).catch(() => undefined);
    if (!written) return known;
    expect(written.status).toBe(201);
    if (i % 3 < 2) {
      known.stored.push(key);
      continue;
    }
    const deleted = await cluster.ask("DELETE", key).catch(() => undefined);
    if (!deleted) return known; // It may have happened or not.
    expect(deleted.status).toBe(204);
    known.deleted.push(key);
  }
}

test("what was acknowledged before a kill -9 is there after it, and what was not is whole or not there", async () => {
  await using cluster = await startCluster();
  for (let round = 0; round < 3; round++) {
    const writers = Array.from({ length: 8 }, (_, i) => writeUntilKilled(cluster, `r${round}w${i}`));
    const enough = async () => (await cluster.keys("list")).length > 100 * (round + 1);
    await until(enough, { what: "a hundred keys are written" });
    await cluster.master.kill();
    const known = await Promise.all(writers);
    await cluster.startMaster();
    const live = new Set(await cluster.keys("list"));
    expect(known.flatMap(({ stored }) => stored).filter((key) => !live.has(key))).toEqual([]);
    expect(known.flatMap(({ deleted }) => deleted).filter((key) => live.has(key))).toEqual([]);
    for (const key of live) {
      const md5s = cluster.filesOf(pathOf(key)).map((file) => file.md5);
      expect([key, ...md5s]).toEqual([key, ...Array(3).fill(md5Hex(`value of ${key}`))]);
    }
    expect(await cluster.keys("unlinked")).toEqual([]); // What was not finished does not show.
  }
});
