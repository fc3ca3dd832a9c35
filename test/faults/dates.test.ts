// Values of one key that are written faster than one a second: their dates order them, over a restart too.
import { expect, test } from "bun:test";
import { utimesSync } from "node:fs";
import { startCluster } from "../support/cluster";
import { filesAt } from "../support/files";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { until } from "../support/until";

test("a value that is written after a crash has a later date than those before it", async () => {
  await using cluster = await startCluster({ flags: ["-threads", "2"] });
  const write = async () => {
    await until(async () => (await cluster.ask("PUT", "/hot", { body: "value" })).status === 201, {
      what: "it is written",
    });
    const { headers } = await follow(await cluster.ask("GET", "/hot"));
    expect((await cluster.ask("DELETE", "/hot")).status).toBe(204);
    return Date.parse(headers.get("last-modified")!);
  };
  const dates: number[] = [];
  for (let i = 0; i < 12; i++) dates.push(await write());
  expect(dates.at(-1)).toBeGreaterThan(Date.now()); // Ahead of the clock, or the test shows nothing.
  await cluster.master.kill();
  await cluster.startMaster();
  dates.push(await write());
  await cluster.store("/other", "value");
  const other = (await follow(await cluster.ask("GET", "/other"))).headers.get("last-modified")!;
  expect(Date.parse(other)).toBeLessThan(Date.now() + 3000); // It has nothing to do with that.
  expect(dates).toEqual([...new Set(dates)].sort((a, b) => a - b));
});

test("a value that takes the place of another has a later date, whatever clock has dated that", async () => {
  await using cluster = await startCluster({});
  const key = "/dated";
  const modified = async () => (await follow(await cluster.ask("GET", key))).headers.get("last-modified");
  await cluster.store(key, "old");
  const ahead = new Date((Math.floor(Date.now() / 1000) + 300) * 1000);
  for (const { dir } of cluster.volumes)
    for (const { file } of filesAt(dir, pathOf(key))) utimesSync(file, ahead, ahead);
  expect(await modified()).toBe(ahead.toUTCString());
  const later = new Date(ahead.getTime() + 1000).toUTCString();
  expect((await cluster.ask("PUT", `${key}?replace`, { body: "new" })).status).toBe(201);
  expect(await modified()).toBe(later);
  expect((await cluster.ask("UNLINK", key)).status).toBe(204);
  expect((await cluster.ask("PUT", key, { body: "newest" })).status).toBe(201);
  expect(Date.parse((await modified())!)).toBe(Date.parse(later) + 1000);
});
