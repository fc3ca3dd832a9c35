import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { dial } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { recordsIn } from "../support/records";
import { halfPut } from "../support/under-way";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);

test.each(["SIGTERM", "SIGINT"] as const)(
  "on %s a running PUT ends with 201, and the index holds exactly what was acknowledged",
  async (signal) => {
    await using cluster = await startCluster();
    const acknowledged = Array.from({ length: 30 }, (_, i) => `/before-${String(i).padStart(2, "0")}`);
    for (const key of acknowledged) expect((await cluster.ask("PUT", key, { body: "0123456789" })).status).toBe(201);
    expect((await cluster.ask("DELETE", acknowledged.pop()!)).status).toBe(204);
    using wire = await halfPut(cluster.master.port, "/during");

    const ended = cluster.master.stop(signal);
    const refuses = () =>
      dial(cluster.master.port).then(
        (idle) => idle[Symbol.dispose](),
        () => "refused",
      );
    await until(refuses, { what: "new connections are refused" });
    expect(cluster.master.process.ended).toBe(false);
    wire.write("9");
    expect((await wire.answer()).status).toBe(201);
    expect(await ended).toBe(0);

    const expected = [...acknowledged, "/during"].map((key) => [
      key,
      `HASH${md5Hex("0123456789")}${placedOn(key, { volumes: cluster.addresses }).join(",")}`,
    ]);
    expect((await recordsIn(cluster.db)).map(({ key, value }) => [key.toString(), value])).toEqual(expected);
    expect(cluster.filesOf(pathOf("/during")).map((file) => file.md5)).toEqual(Array(3).fill(md5Hex("0123456789")));
  },
);

test("idle connections do not hold up the end", async () => {
  await using cluster = await startCluster();
  using idle = await dial(cluster.master.port);
  idle.write("GET /absent HTTP/1.1\r\nHost: a\r\n\r\n");
  expect((await idle.answer()).status).toBe(404);
  using silent = await dial(cluster.master.port);
  const start = performance.now();
  expect(await cluster.master.stop()).toBe(0);
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(silent.closed || idle.closed).toBe(true);
});

test("writes that are under way at the end are either acknowledged and there, or not there", async () => {
  await using cluster = await startCluster();
  const stored: string[] = [];
  const refused: string[] = [];
  const writers = Array.from({ length: 10 }, async (_, writer) => {
    for (let i = 0; ; i++) {
      const key = `/w${writer}-${i}`;
      const answer = await cluster.ask("PUT", key, { body: key }).catch(() => undefined);
      if (answer?.status !== 201) return refused.push(key);
      stored.push(key);
    }
  });
  await until(() => stored.length > 200, { what: "writing is in full swing" });
  expect(await cluster.master.stop()).toBe(0);
  await Promise.all(writers);
  const records = await recordsIn(cluster.db);
  const live = records.filter(({ value }) => !value.startsWith("DELETED")).map(({ key }) => key.toString());
  expect(live.sort()).toEqual(stored.sort());
  expect(refused.length).toBe(10);
});

test("the Go program could open what a graceful stop leaves: one log file, none of the older one's records lost", async () => {
  await using cluster = await startCluster();
  for (let i = 0; i < 20; i++) await cluster.ask("PUT", `/k-${i}`, { body: "x" });
  expect(await cluster.master.stop()).toBe(0);
  const logs = [...new Bun.Glob("*.log").scanSync({ cwd: cluster.db })];
  expect(logs.length).toBeLessThanOrEqual(1);
  expect([...new Bun.Glob("*.ldb").scanSync({ cwd: cluster.db })].length).toBeGreaterThan(0);
});
