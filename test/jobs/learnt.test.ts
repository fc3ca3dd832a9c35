// Jobs through a master learn from it what the store looks like.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Cluster, startCluster } from "../support/cluster";
import { runMkv } from "../support/master";
import { countsOf } from "./verified";

setDefaultTimeout(60_000);
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ flags: ["-replicas", "2", "-subvolumes", "3"] });
  for (let i = 0; i < 10; i++) await cluster.store(`/key-${i}`);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const through = (...words: string[]) => runMkv(["-master", cluster.master.url, ...words]);

test("with -master alone they find what they need, and flags that say the same are none too many", async () => {
  const { exitCode, stdout } = await through("verify");
  expect([exitCode, countsOf(stdout.trimEnd())]).toEqual([0, countsOf({ keys: 10, files: 20 })]);
  expect((await through("rebalance")).stdout).toContain(" 10 in place, ");
  expect((await through("adopt", cluster.addresses[0]!)).exitCode).toBe(0);
  const same = ["-volumes", cluster.addresses.toReversed().join(","), "-replicas", "2", "-subvolumes", "3"];
  expect((await through(...same, "verify")).exitCode).toBe(0);
});

test.each([
  ["-volumes", () => cluster.addresses.slice(1).join(",")],
  ["-replicas", () => "3"],
  ["-subvolumes", () => "10"],
])("a %s that contradicts the master is refused: exit code 2, and it is named", async (flag, value) => {
  for (const command of ["verify", "rebalance", "export"]) {
    const { exitCode, stdout, stderr } = await through(flag, value(), command);
    expect([exitCode, stdout, stderr]).toEqual([2, "", expect.stringMatching(new RegExp(`^mkv: ${flag} [^\n]+\n$`))]);
  }
});

test("what is no master says so, in one line", async () => {
  const { exitCode, stderr } = await runMkv(["-master", `http://${cluster.addresses[0]}`, "verify"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^mkv: [^\n]*is no master[^\n]*\n$/)]);
});
