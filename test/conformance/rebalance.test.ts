import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { follow } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { recordOf } from "../support/records";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

test("POST ?rebalance brings a key to the volumes where it belongs, value and time unchanged", async () => {
  await using cluster = await startCluster({ volumes: 4, flags: ["-replicas", "2"] });
  const keys = Array.from({ length: 6 }, (_, i) => `/move-${i}`);
  for (const key of keys) await cluster.ask("PUT", key, { body: key });
  const times = new Map(keys.map((key) => [key, Math.floor(cluster.filesOf(pathOf(key))[0]!.mtimeMs)]));
  const flags = ["-replicas", "3", "-subvolumes", "7"];
  await cluster.startMaster(flags);
  for (const key of keys) {
    expect((await cluster.ask("GET", key)).headers.get("key-balance")).toBe("unbalanced");
    const answer = await cluster.ask("POST", `${key}?rebalance`);
    expect([answer.status, answer.text]).toEqual([204, ""]);
    const found = await cluster.ask("GET", key);
    const volumes = placedOn(key, { volumes: cluster.addresses, replicas: 3, subvolumes: 7 });
    expect([found.headers.get("key-balance"), found.headers.get("key-volumes")]).toEqual([
      "balanced",
      volumes.join(","),
    ]);
    expect(found.headers.get("content-md5")).toBe(md5Hex(key));
    expect((await follow(found)).text).toBe(key);
    const files = cluster.filesOf(pathOf(key)).map((file) => [file.md5, Math.floor(file.mtimeMs)]);
    expect(files).toEqual(Array(3).fill([md5Hex(key), times.get(key)!]));
    expect((await cluster.ask("POST", `${key}?rebalance`)).status).toBe(204);
  }
});

test("POST ?rebalance of an absent key is 404", async () => {
  await using cluster = await startCluster();
  const answer = await cluster.ask("POST", "/absent?rebalance");
  expect(answer.status).toBe(404);
});

test("an unlinked key stays unlinked when it is moved", async () => {
  await using cluster = await startCluster({ flags: ["-replicas", "1"] });
  await cluster.ask("PUT", "/soft", { body: "soft" });
  await cluster.ask("UNLINK", "/soft");
  await cluster.startMaster(["-replicas", "3"]);
  const { status } = await cluster.ask("POST", "/soft?rebalance");
  expect([204, 404]).toContain(status);
  expect((await cluster.ask("GET", "/soft")).status).toBe(404);
  expect(await cluster.keys("unlinked")).toEqual(["/soft"]);
  await cluster.master.stop();
  expect(await recordOf(cluster.db, "/soft")).toStartWith(`DELETEDHASH${md5Hex("soft")}localhost:`);
});

test("a rebalance that cannot be done is 400, and the key is served from where it is", async () => {
  await using cluster = await startCluster({ flags: ["-replicas", "2"] });
  await cluster.ask("PUT", "/stuck", { body: "stuck" });
  const before = cluster.filesOf(pathOf("/stuck")).map((file) => file.file);
  const down = cluster.volumes.find(({ dir }) => !before.some((file) => file.startsWith(`${dir}/`)))!;
  await cluster.startMaster(["-replicas", "3"]);
  await down.kill();
  const answer = await cluster.ask("POST", "/stuck?rebalance", { timeoutMs: 40_000 });
  expect(answer.status).toBe(400);
  expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  expect((await follow(await cluster.ask("GET", "/stuck"))).text).toBe("stuck");
  await down.restart();
  const moved = async () => (await cluster.ask("POST", "/stuck?rebalance")).status === 204;
  await until(moved, { what: "the key moves when the volume is back" });
  expect(cluster.filesOf(pathOf("/stuck")).length).toBe(3);
});

test("a damaged copy is never the source", async () => {
  await using cluster = await startCluster({ flags: ["-replicas", "2"] });
  await cluster.ask("PUT", "/rotten", { body: "good value" });
  await Bun.write(cluster.filesOf(pathOf("/rotten"))[0]!.file, "evil value");
  await cluster.startMaster(["-replicas", "3"]);
  await cluster.ask("POST", "/rotten?rebalance");
  const md5s = cluster.filesOf(pathOf("/rotten")).map((file) => file.md5);
  expect(md5s.filter((md5) => md5 === md5Hex("good value")).length).toBeGreaterThanOrEqual(2);
});
