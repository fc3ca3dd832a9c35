// An index that is known to lack what was acknowledged: an absent key proves nothing then.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { follow, request } from "../support/http";
import { settledOwing } from "../support/journals";
import { startMaster } from "../support/master";
import { startVolume } from "../support/volume";

setDefaultTimeout(60_000);

test("a key that an older index does not know is neither overwritten nor deleted by a PUT, and a rebuild finds it", async () => {
  await using cluster = await startCluster();
  await cluster.master.stop();
  cpSync(cluster.db, `${cluster.db}-copy`, { recursive: true });
  await cluster.startMaster();
  await cluster.store("/acknowledged", "after the copy");
  await cluster.master.stop();
  rmSync(cluster.db, { recursive: true });
  cpSync(`${cluster.db}-copy`, cluster.db, { recursive: true });

  await cluster.startMaster();
  expect(cluster.master.output).toMatch(/may lack what was acknowledged last \(it is an older copy\)/);
  expect((await cluster.ask("GET", "/acknowledged")).status).toBe(404);
  for (const body of ["x", "another value"]) {
    const { status, text } = await cluster.ask("PUT", "/acknowledged", { body });
    expect([status, text]).toEqual([503, expect.stringMatching(/may lack it.*rebuild/)]);
  }
  expect((await cluster.ask("PUT", "/new", { body: "new" })).status).toBe(201);
  const home = homeOf(cluster, "/acknowledged");
  const sorted = (copies: Record<string, string>) => Object.entries(copies).sort();
  expect(sorted(copiesOf(cluster, "/acknowledged"))).toEqual(sorted(copiesOn(home, "after the copy")));
  await cluster.master.stop();
  expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
  await cluster.startMaster();
  for (const [key, value] of [
    ["/acknowledged", "after the copy"],
    ["/new", "new"],
  ] as const)
    expect((await follow(await cluster.ask("GET", key))).text).toBe(value);
  expect((await cluster.ask("DELETE", "/acknowledged")).status).toBe(204);
  expect((await cluster.ask("PUT", "/acknowledged", { body: "again" })).status).toBe(201);
});

test("an index that was copied while a master ran is known as older, though that master was killed and not stopped", async () => {
  await using cluster = await startCluster();
  for (const key of ["/deleted", "/unlinked"]) await cluster.store(key);
  const copy = `${cluster.db}-copy`;
  cpSync(cluster.db, copy, { recursive: true });
  await cluster.store("/acknowledged", "after the copy");
  expect((await cluster.ask("UNLINK", "/unlinked")).status).toBe(204);
  expect((await cluster.ask("DELETE", "/deleted")).status).toBe(204);
  await settledOwing(cluster.db);
  await cluster.master.kill();
  rmSync(cluster.db, { recursive: true });
  cpSync(copy, cluster.db, { recursive: true });

  await cluster.startMaster();
  expect(cluster.master.output).toMatch(/may lack what was acknowledged last \(it is an older copy\)/);
  expect((await follow(await cluster.ask("GET", "/acknowledged"))).text).toBe("after the copy");
  expect((await cluster.ask("PUT", "/acknowledged", { body: "another value" })).status).toBe(403);
  for (const key of ["/deleted", "/unlinked"]) expect((await cluster.ask("GET", key)).status).toBe(404);
});

test("with an index that was made while a volume was down, writes wait for nothing", async () => {
  await using held = new AsyncDisposableStack();
  const volumes = [];
  for (let i = 0; i < 4; i++) volumes.push(held.use(await startVolume()));
  await volumes.at(-1)!.stop();
  await using master = await startMaster({ volumes: volumes.map(({ address }) => address) });
  const put = async (i: number) => (await request(master.port, { method: "PUT", target: `/${i}`, body: "x" })).status;
  expect(await put(0)).toBe(201);
  const startMs = performance.now();
  for (let i = 1; i <= 20; i++) expect(await put(i)).toBe(201);
  expect(performance.now() - startMs).toBeLessThan(20 * 150);
});
