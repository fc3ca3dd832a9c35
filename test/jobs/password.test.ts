// Volumes and masters that ask for a password: jobs get in with it, and nothing that they say holds it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { homeOf } from "../support/copies";
import { basic } from "../support/password";
import { valueOf } from "../support/values";
import { damage, fileOf } from "./damage";
import { indexOf, runJob, shelf, type Command, type JobOutcome } from "./job";
import { plainKeys } from "./keys";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const login = { user: "admin", password: "this:is@a/test" };
const userpass = `${login.user}:${login.password}`;
const deadlines = ["-voltimeout", "500ms"];
const keys = plainKeys("key", 10);
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ login, flags: ["-basicauth"] });
  for (const key of keys) {
    const { status } = await cluster.ask("PUT", key, { headers: { Authorization: basic(login) }, body: valueOf(key) });
    expect(status).toBe(201);
  }
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

function expectSilence({ output }: JobOutcome, password = login.password): void {
  expect(output).not.toContain(password);
  expect(output).not.toContain(encodeURIComponent(password));
  expect(output).not.toContain(basic({ user: login.user, password }).slice("Basic ".length));
}

const ways: [string, string[], Record<string, string>][] = [
  ["-userpass", ["-userpass", userpass], {}],
  ["MKV_USERPASS", [], { MKV_USERPASS: userpass }],
];

test.each(ways)("damage is found and healed behind a password given by %s", async (_, flags, env) => {
  const [whole, index] = [shelf(cluster), await indexOf(cluster.db)];
  damage(fileOf(cluster, keys[0]!, homeOf(cluster, keys[0]!)[0]!), "flipped");
  damage(fileOf(cluster, keys[1]!, homeOf(cluster, keys[1]!)[1]!), "missing");
  for (const [more, exitCode, repaired] of [
    [[], 1, 0],
    [["-repair"], 0, 2],
  ] as const) {
    const outcome = await runJob(cluster, "verify", { flags: [...flags, ...more, "-md5"], env });
    expect([outcome.exitCode, countsOf(outcome.last)]).toMatchObject([exitCode, { missing: 1, damaged: 1, repaired }]);
    expectSilence(outcome);
  }
  expect([shelf(cluster), await indexOf(cluster.db)]).toEqual([whole, index]);
});

test.each(ways)("jobs work through a master with -basicauth by %s", async (_, flags, env) => {
  const master = (await cluster.startMaster()).url;
  damage(fileOf(cluster, keys[2]!, homeOf(cluster, keys[2]!)[0]!), "missing");
  const verified = await runJob(cluster, "verify", { master, flags: [...flags, "-md5", "-repair"], env });
  const rebalanced = await runJob(cluster, "rebalance", { master, flags, env });
  const output = cluster.master.output;
  await cluster.master.stop();
  expect([verified.exitCode, countsOf(verified.last)]).toMatchObject([0, { missing: 1, repaired: 1 }]);
  expect([rebalanced.exitCode, rebalanced.last]).toEqual([0, "rebalanced 10 keys: 0 moved, 10 in place, 0 failed"]);
  for (const outcome of [verified, rebalanced, { ...verified, output }]) expectSilence(outcome);
});

const wrong: [string, string[]][] = [
  ["without a password", []],
  ["with a wrong one", ["-userpass", "admin:thatwasatest"]],
];
const commands: Command[] = ["rebuild", "rebalance", "verify"];

test.each(wrong)("%s every job ends with exit code 1 and changes nothing", async (_, flags) => {
  const [whole, index] = [shelf(cluster), await indexOf(cluster.db)];
  for (const command of commands) {
    const more =
      command === "rebuild" ? [] : command === "rebalance" ? ["-replicas", "2"] : ["-md5", "-repair", "-orphans"];
    const outcome = await runJob(cluster, command, { flags: [...deadlines, ...flags, ...more] });
    expect([command, outcome.exitCode]).toEqual([command, 1]);
    expect(outcome.stderr).toMatch(/401|-userpass/);
    expectSilence(outcome, "thatwasatest");
  }
  expect([shelf(cluster), await indexOf(cluster.db)]).toEqual([whole, index]);
});

test("when volumes are down, too, nothing that is said holds the password", async () => {
  await cluster.volumes[0]!.kill();
  for (const command of commands) {
    const outcome = await runJob(cluster, command, { flags: [...deadlines, "-userpass", userpass] });
    expect([command, outcome.exitCode]).toEqual([command, 1]);
    expectSilence(outcome);
  }
  await cluster.volumes[0]!.restart();
});
