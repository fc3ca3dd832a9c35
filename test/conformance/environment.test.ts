// Every flag can come from the environment, the command line wins, and a mistake there is named as one there.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { bigValue } from "../support/big";
import { startCluster } from "../support/cluster";
import { temporaryFolder, type Folder } from "../support/folder";
import { request } from "../support/http";
import { mkv, runMkv, startMaster } from "../support/master";
import { freePort } from "../support/ports";
import { startPostgres } from "../support/postgres";
import { RunningProcess } from "../support/process";

setDefaultTimeout(30_000);
const VOLUMES = "localhost:1,localhost:2,localhost:3"; // Nobody listens there, which is no hindrance to a start.
let folder: Folder;
beforeAll(() => void (folder = temporaryFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

test("a server can be told everything by its environment, and what is typed wins", async () => {
  const env = {
    ...{ MKV_DB: join(folder.path, "index"), MKV_VOLUMES: VOLUMES, MKV_REPLICAS: "2", MKV_PORT: "1" },
    ...{ MKV_BIND: "127.0.0.1", MKV_V: "true", MKV_LOG: "json", MKV_PROTECT: "", MKV_THREADS: "1" },
  };
  await using server = new RunningProcess({ command: mkv(["-port", "0", "server"]), env });
  const [, port] = await server.says(
    /listening on port (\d+) of 127\.0\.0\.1, 3 volumes \(3 not heard of yet\), 2 replicas, 1 thread/,
  );
  expect((await request(Number(port), { target: "/absent" })).status).toBe(404);
  await server.says(/"method":"GET","path":"\/absent","status":404/);
});

const mistakes: [string, string, RegExp][] = [
  ["MKV_PORT", "http", /^mkv: MKV_PORT is a whole number /],
  ["MKV_REPLICAS", "4", /^mkv: MKV_REPLICAS 4 needs as many volumes, -volumes names 3/],
  ["MKV_MINREPLICAS", "4", /^mkv: MKV_MINREPLICAS is a whole number from 1 to 3/],
  ["MKV_PROTECT", "maybe", /^mkv: MKV_PROTECT is true or false, not "maybe"/],
  ["MKV_VOLTIMEOUT", "5", /^mkv: MKV_VOLTIMEOUT is a duration /],
  ["MKV_LOG", "xml", /^mkv: MKV_LOG is plain or json, not "xml"/],
  ["MKV_ADMINPORT", "65536", /^mkv: MKV_ADMINPORT is a whole number /],
  ["MKV_USERPASS", "hunter2", /^mkv: MKV_USERPASS is user:password\n/],
];

test.each(mistakes)("a bad %s is exit code 2 and one line that names it", async (name, text, line) => {
  const { exitCode, stdout, stderr } = await runMkv(["-db", join(folder.path, "no"), "-volumes", VOLUMES, "server"], {
    env: { [name]: text },
  });
  expect([exitCode, stdout, stderr.split("\n").length]).toEqual([2, "", 2]);
  expect(stderr).toMatch(line);
});

test("a typed ledger stands before a master of the environment, and a typed master before its ledger", async () => {
  await using master = await startMaster({ volumes: VOLUMES.split(",") });
  const stopped = { MKV_MASTER: "http://localhost:1", MKV_VOLUMES: VOLUMES };
  const own = await runMkv(["-db", join(folder.path, "absent"), "rebalance"], { env: stopped });
  expect(own.stderr).toMatch(/there is no index at .*absent: run rebuild first/);
  const through = await runMkv(["-master", master.url, "rebalance"], { env: { MKV_DB: join(folder.path, "absent") } });
  expect([through.exitCode, through.stdout]).toEqual([0, expect.stringMatching(/^rebalanced 0 keys/)]);
});

test("what another command uses may stay in the environment", async () => {
  const env = { MKV_ADMINPORT: "nonsense", MKV_DB: join(folder.path, "absent"), MKV_VOLUMES: VOLUMES };
  expect((await runMkv(["verify"], { env })).stderr).toMatch(/there is no index at .*absent: run rebuild first/);
});

test("a proxy of the environment is asked for no volume, no master and no status", async () => {
  const env = { HTTP_PROXY: "http://localhost:1", http_proxy: "http://localhost:1", ALL_PROXY: "http://localhost:1" };
  const adminPort = await freePort();
  await using cluster = await startCluster({ flags: ["-adminport", String(adminPort)], env });
  await cluster.store("/large", bigValue("large", 3_000_000));
  const { exitCode, stdout } = await runMkv(["-master", cluster.master.url, "verify"], { env });
  expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/1 keys?/)]);
  expect((await runMkv(["status", "-admin", `http://localhost:${adminPort}`], { env })).stdout).toMatch(/all is well/);
});

test("the database that -db names is the ledger, whatever PGDATABASE says", async () => {
  await using server = await startPostgres();
  await server.query("create database other");
  const volumes = VOLUMES.split(",");
  await using _master = await startMaster({ db: server.url, volumes, env: { PGDATABASE: "other" } });
  expect(await server.query("select to_regclass('mkv_keys') is not null as here")).toEqual([{ here: true }]);
});
