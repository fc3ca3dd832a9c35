// A job that works through a master reads its index in pages and names every key in a URL: whatever the keys hold.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { writeRecords } from "../support/records";
import { runJob } from "./job";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const flags = ["-replicas", "1"];
const signs = [
  ..."/.+%&=#?~!$'()*,;:@ \"\\<>[]^`{|}\t\n\r0aZ",
  "\u007f",
  "é",
  "\u{FFFD}",
  "\u{1F600}",
  "\u{10FF41}",
  "%2F",
  "..",
];
const keys = [...new Set(signs.flatMap((first) => signs.map((second) => `/x${first}${second}`)))];

test("more keys than fit on a page, of all signs there are: each is found once, each can be named", async () => {
  expect(keys.length).toBeGreaterThan(1_500);
  await using cluster = await startCluster({ volumes: 1, flags });
  await cluster.master.stop();
  // Unlinked, and on no volume: every key is a finding, and repaired when its record is gone.
  await writeRecords(
    cluster.db,
    keys.map((key): [string, string] => [key, `DELETED${cluster.addresses[0]}/sv00`]),
  );
  const master = (await cluster.startMaster()).url;
  const moved = await runJob(cluster, "rebalance", { master, flags });
  const counts = `rebalanced ${keys.length} keys: 0 moved, ${keys.length} in place, 0 failed`;
  expect([moved.exitCode, moved.last]).toEqual([0, counts]);
  const { exitCode, last } = await runJob(cluster, "verify", { master, flags: [...flags, "-repair"] });
  const found = { keys: keys.length, unfinished: keys.length, repaired: keys.length };
  expect([exitCode, countsOf(last)]).toEqual([0, countsOf(found)]);
  expect(await cluster.keys("unlinked")).toEqual([]);
});
