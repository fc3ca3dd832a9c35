import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { runMkv } from "../support/master";
import { basic } from "../support/password";
import { recordsIn } from "../support/records";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const login = { user: "admin", password: "thisisatest" };
const userpass = `${login.user}:${login.password}`;
const keys = Array.from({ length: 20 }, (_, i) => `/key-${i}`);
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ login, flags: ["-basicauth", "-replicas", "2"] });
  const headers = { Authorization: basic(login) };
  for (const key of keys) expect((await cluster.ask("PUT", key, { headers, body: key })).status).toBe(201);
  expect(await cluster.master.stop()).toBe(0);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const common = (db: string, replicas = 2) => [
  "-volumes",
  cluster.addresses.join(","),
  "-db",
  db,
  "-replicas",
  String(replicas),
];
const ways: [string, string[], Record<string, string>][] = [
  ["-userpass", ["-userpass", userpass], {}],
  ["MKV_USERPASS", [], { MKV_USERPASS: userpass }],
];

test.each(ways)("rebuild gets into volumes with a password by %s", async (name, flags, env) => {
  const db = join(cluster.db, "..", `rebuilt-${name}`);
  const outcome = await runMkv([...flags, ...common(db), "rebuild"], { env });
  expect(outcome).toMatchObject({ exitCode: 0 });
  expect(outcome.stdout + outcome.stderr).not.toContain(login.password);
  const volumesOf = async (index: string) =>
    (await recordsIn(index)).map(({ key, value }) => `${key} ${value.replace(/^HASH.{32}/, "")}`);
  expect(await volumesOf(db)).toEqual(await volumesOf(cluster.db));
});

test.each(ways)("rebalance gets into volumes with a password by %s", async (name, flags, env) => {
  const replicas = name === "-userpass" ? 3 : 2;
  const outcome = await runMkv([...flags, ...common(cluster.db, replicas), "-grace", "0", "rebalance"], { env });
  expect(outcome).toMatchObject({ exitCode: 0 });
  expect(outcome.stdout + outcome.stderr).not.toContain(login.password);
  expect(cluster.remains().length).toBe(keys.length * replicas);
});

const lacking: [string, string[]][] = [
  ["without a password", []],
  ["with a wrong one", ["-userpass", "admin:thatwasatest"]],
];

test("with a wrong password a server makes no new index: the volumes may hold values", async () => {
  const db = join(cluster.db, "..", "another");
  const flags = ["-userpass", "admin:thatwasatest", "-basicauth", "-port", "0"];
  const { exitCode, stderr } = await runMkv([...flags, ...common(db), "server"]);
  expect([exitCode, stderr.trimEnd().split("\n").at(-1)]).toEqual([
    1,
    expect.stringMatching(/^mkv: there is no index at .* refuses access \(401\): check its AUTH .*-userpass/),
  ]);
  expect(existsSync(db)).toBe(false);
});

test.each(lacking)(
  "%s rebuild and rebalance end with exit code 1, one reason, and the index as it was",
  async (_, flags) => {
    const before = await recordsIn(cluster.db);
    for (const command of ["rebuild", "rebalance"]) {
      const outcome = await runMkv([...flags, ...common(cluster.db, command === "rebalance" ? 3 : 2), command]);
      expect(outcome.exitCode).toBe(1);
      expect(outcome.stderr).toMatch(/40[13]|authoriz|password|userpass/i);
      expect(outcome.stderr).not.toMatch(/^\s+at /m);
      expect(outcome.stdout + outcome.stderr).not.toContain("thatwasatest");
      expect(await recordsIn(cluster.db)).toEqual(before);
    }
  },
);
