import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { chunk, dial, follow, head } from "../support/http";
import { pathOf } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { valueOf } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** Sends so much of a PUT of 1 MB, waits until the master has begun to write it, and leaves. */
async function leaveMidway(key: string, { bytes, chunked }: { bytes: number; chunked: boolean }): Promise<void> {
  using wire = await dial(cluster.master.port);
  const framing = chunked ? { "Transfer-Encoding": "chunked" } : { "Content-Length": "1000000" };
  wire.write(head({ method: "PUT", target: key, headers: framing as Record<string, string> }, { close: false }));
  const part = valueOf(key, bytes);
  wire.write(chunked ? chunk(part) : part);
  await wire.drained();
  await until(() => isUnderWay(cluster.master.port, key), { what: `the PUT of ${key} has begun` });
}

const departures = [
  { bytes: 1, chunked: false },
  { bytes: 500_000, chunked: false },
  { bytes: 999_999, chunked: false },
  { bytes: 500_000, chunked: true },
];

test.each(departures)(
  "a client that leaves after $bytes bytes (chunked: $chunked) leaves nothing behind, and its key is free",
  async (departure) => {
    const key = `/left-${departure.bytes}-${departure.chunked}`;
    const before = cluster.remains();
    await leaveMidway(key, departure);
    expect((await cluster.ask("GET", key)).status).toBe(404);
    await until(() => cluster.remains().join() === before.join(), { what: "the volumes are as they were before" });
    expect(await cluster.keys("list", key)).toEqual([]);
    const written = async () => (await cluster.ask("PUT", key, { body: "complete" })).status === 201;
    await until(written, { what: "the key can be written" });
    expect((await follow(await cluster.ask("GET", key))).text).toBe("complete");
    expect(cluster.filesOf(pathOf(key)).length).toBe(3);
  },
);

test("a client that leaves while it writes an unlinked key leaves that unlinked, and its neighbours alone", async () => {
  await cluster.store("/old", "old");
  await cluster.store("/old2", "neighbour");
  await cluster.ask("UNLINK", "/old");
  {
    using wire = await dial(cluster.master.port);
    wire.write(head({ method: "PUT", target: "/old", headers: { "Content-Length": "1000000" } }, { close: false }));
    wire.write(valueOf("half", 300_000));
    await until(() => isUnderWay(cluster.master.port, "/old"), { what: "the PUT has begun" });
  }
  const free = async () => (await cluster.ask("UNLINK", "/old")).status === 404;
  await until(free, { what: "the key is free" });
  expect([await cluster.keys("list", "/old"), await cluster.keys("unlinked", "/old")]).toEqual([["/old2"], ["/old"]]);
  expect((await cluster.ask("DELETE", "/old")).status).toBe(204);
  expect(cluster.filesOf(pathOf("/old"))).toEqual([]);
  expect((await follow(await cluster.ask("GET", "/old2"))).text).toBe("neighbour");
});

test("a chunked body that breaks off in the middle of a chunk, or is no chunk at all, is not stored", async () => {
  for (const [key, body] of [
    ["/broken-chunk", "5\r\nab"],
    ["/bad-chunk", "zz\r\nabc\r\n0\r\n\r\n"],
  ] as const) {
    {
      using wire = await dial(cluster.master.port);
      wire.write(head({ method: "PUT", target: key, headers: { "Transfer-Encoding": "chunked" } }, { close: true }));
      wire.write(body);
      if (key === "/bad-chunk") await wire.answer({ timeoutMs: 5_000 }).catch(() => {});
    }
    expect((await cluster.ask("GET", key)).status).toBe(404);
    const written = async () => (await cluster.ask("PUT", key, { body: "whole" })).status === 201;
    await until(written, { what: `${key} can be written` });
    expect((await follow(await cluster.ask("GET", key))).text).toBe("whole");
  }
});

test("a hundred clients that leave at random moments leave a store that is clean and works", async () => {
  const before = cluster.remains();
  const keys = Array.from({ length: 100 }, (_, i) => `/random-${i}`);
  await Promise.all(
    keys.map(async (key, i) => {
      using wire = await dial(cluster.master.port);
      wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "200000" } }, { close: false }));
      wire.write(valueOf(key, i * 1_999));
      await wire.drained();
    }),
  );
  const answers = new Set<number>();
  for (const key of keys) {
    const written = async () => {
      const { status } = await cluster.ask("PUT", key, { body: "after" });
      answers.add(status);
      return status === 201;
    };
    await until(written, { what: `${key} can be written` });
  }
  answers.forEach((status) => expect([201, 409]).toContain(status));
  for (const key of keys) expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await until(() => cluster.remains().join() === before.join(), { what: "the volumes are as they were before" });
});
