// A new ledger that is made while a volume is silent: what that volume holds is not written over when it is back.
import { join } from "node:path";
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { runMkv, startMaster } from "../support/master";
import { basic } from "../support/password";
import { pathOf, placedOn } from "../support/placement";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(90_000);
const one = ["-replicas", "1"];

async function expectKept(db: string): Promise<void> {
  await using cluster = await startCluster({ flags: one });
  const { addresses: volumes } = cluster;
  await cluster.store("/kept", "acknowledged");
  await cluster.master.stop();
  const homeOf = (key: string) => placedOn(key, { volumes, replicas: 1 })[0]!;
  const holder = cluster.volumes[volumes.findIndex((address) => homeOf("/kept").startsWith(address))]!;
  await holder.stop();
  const start = () => startMaster({ db, volumes, flags: one });
  const put = (port: number, key: string) => request(port, { method: "PUT", target: key, body: "new" });
  {
    await using master = await start();
    expect((await put(master.port, "/other")).status).toBe(201);
    await master.stop();
  }
  await using master = await start();
  await holder.restart();
  const probes = Array.from({ length: 1_000 }, (_, i) => `/probe-${i}`).filter((key) =>
    homeOf(key).startsWith(holder.address),
  );
  const isUsed = async () => {
    const probe = probes.shift()!;
    expect((await put(master.port, probe)).status).toBe(201);
    const { headers } = await request(master.port, { target: probe });
    return headers.get("key-volumes")!.startsWith(holder.address);
  };
  await until(isUsed, { what: "the volume is written to again" });
  const { status, text } = await put(master.port, "/kept");
  expect([status, text]).toEqual([503, expect.stringContaining("has, or may have, a value of this key")]);
  await master.stop();
  const run = (...command: string[]) => runMkv(["-db", db, "-volumes", volumes.join(","), ...one, ...command]);
  expect((await run("verify", "-orphans")).stderr).toContain(`${pathOf("/kept")}: may be the only copy`);
  expect((await run("rebuild")).exitCode).toBe(0);
  await using rebuilt = await start();
  for (const key of ["/kept", "/other"]) expect((await put(rebuilt.port, key)).status).toBe(403);
}

test.concurrent("a new index does not write over what a volume brings back", async () => {
  await using folder = temporaryFolder();
  await expectKept(join(folder.path, "new"));
});

test.concurrent("the same of a new database", async () => {
  await using server = await startPostgres();
  await server.query("create database store");
  await expectKept(server.urlOf("store"));
});

test.concurrent(
  "nor over what is on volumes that did not let the master look: each PUT looks with its own password",
  async () => {
    await using folder = temporaryFolder();
    const login = { user: "admin", password: "thisisatest" };
    const flags = ["-basicauth", ...one];
    const headers = { Authorization: basic(login) };
    await using cluster = await startCluster({ login, flags });
    const put = (port: number, target: string, body: string) => request(port, { method: "PUT", target, headers, body });
    expect((await put(cluster.master.port, "/kept", "acknowledged")).status).toBe(201);
    await cluster.master.stop();
    const db = join(folder.path, "mistyped");
    for (let start = 0; start < 2; start++) {
      await using master = await cluster.anotherMaster(flags, { db });
      const told = "the new one may lack keys: run rebuild with -userpass";
      expect(master.output.split(told).length - 1).toBe(start === 0 ? 3 : 0);
      const { status, text } = await put(master.port, "/kept", "new");
      expect([status, text]).toEqual([503, expect.stringContaining("has, or may have, a value of this key")]);
      expect((await put(master.port, `/other-${start}`, "new")).status).toBe(201);
      await master.stop();
    }
    const run = (...command: string[]) =>
      runMkv([
        "-db",
        db,
        "-volumes",
        cluster.addresses.join(","),
        ...one,
        "-userpass",
        "admin:thisisatest",
        ...command,
      ]);
    expect((await run("verify", "-orphans")).stderr).toContain(`${pathOf("/kept")}: may be the only copy`);
    expect((await run("rebuild")).exitCode).toBe(0);
    await using rebuilt = await cluster.anotherMaster(flags, { db });
    for (const key of ["/kept", "/other-1"]) expect((await put(rebuilt.port, key, "again")).status).toBe(403);
  },
);
