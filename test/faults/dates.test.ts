// Values of one key that are written faster than one a second: their dates order them, over a restart too.
import { expect, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { follow } from "../support/http";
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
  expect(dates).toEqual([...new Set(dates)].sort((a, b) => a - b));
});
