import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { dial, head, request } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { recordOf, recordsIn } from "../support/records";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);

test("a value lies on every volume of its key, byte for byte, at the path that the format names", async () => {
  await using cluster = await startCluster({ volumes: 4, flags: ["-replicas", "3"] });
  for (const [key, bytes] of [
    ["/one", 1],
    ["/many", 200_000],
    ["/dir/a.bin", 1_000],
  ] as const) {
    const value = valueOf(key, bytes);
    await cluster.store(key, value);
    const files = cluster.filesOf(pathOf(key));
    expect(files.map((file) => [file.bytes, file.md5])).toEqual(Array(3).fill([bytes, md5Hex(value)]));
    const places = cluster.volumes.flatMap(({ address, dir }) =>
      files.filter(({ file }) => file.startsWith(`${dir}/`)).map(({ subvolume }) => `${address}/${subvolume}`),
    );
    expect(places.sort()).toEqual(placedOn(key, { volumes: cluster.addresses, replicas: 3 }).sort());
  }
});

/** A PUT of which the volumes receive the end more than a second apart. */
async function putApart(cluster: Cluster, key: string): Promise<void> {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "10" } }, { close: true }));
  wire.write("01234");
  await until(() => isUnderWay(cluster.master.port, key), { what: "the PUT has begun" });
  cluster.volumes[0]!.freeze();
  wire.write("56789");
  await Bun.sleep(1_200); // The distance in time that the file system could show, not a wait for something to happen.
  cluster.volumes[0]!.thaw();
  expect((await wire.answer()).status).toBe(201);
}

test("a download can be resumed on another replica: ETag, Last-Modified and file time are the same on all", async () => {
  await using cluster = await startCluster();
  await putApart(cluster, "/resumed");
  const times = cluster.filesOf(pathOf("/resumed")).map((file) => file.mtimeMs);
  expect(times.length).toBe(3);
  expect(new Set(times).size).toBe(1);
  expect(Math.abs(times[0]! - Date.now())).toBeLessThan(60_000);
  const tags = new Set<string>();
  for (const place of placedOn("/resumed", { volumes: cluster.addresses })) {
    const [, port, folder] = place.match(/:(\d+)\/(.+)/)!;
    const { headers } = await request(Number(port), { method: "HEAD", target: `/${folder}${pathOf("/resumed")}` });
    tags.add(`${headers.get("etag")} ${headers.get("last-modified")}`);
  }
  expect(tags.size).toBe(1);
  expect([...tags][0]).not.toContain("null");
});

test("the index holds exactly what the Go program would have written", async () => {
  await using cluster = await startCluster();
  for (const key of ["/live", "/soft", "/gone", "/ünï"]) await cluster.store(key);
  expect((await cluster.ask("UNLINK", "/soft")).status).toBe(204);
  expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
  expect(await cluster.master.stop()).toBe(0);
  const record = (key: string) =>
    `HASH${md5Hex(`value of ${key}`)}${placedOn(key, { volumes: cluster.addresses }).join(",")}`;
  const records = (await recordsIn(cluster.db)).map(({ key, value }) => [key.toString(), value]);
  expect(records).toEqual([
    ["/live", record("/live")],
    ["/soft", `DELETED${record("/soft")}`],
    ["/ünï", record("/ünï")],
  ]);
});

test("with -md5sum=false records hold no hash", async () => {
  await using cluster = await startCluster({ flags: ["-md5sum=false"] });
  await cluster.store("/plain", "plain");
  await cluster.master.stop();
  expect(await recordOf(cluster.db, "/plain")).toBe(placedOn("/plain", { volumes: cluster.addresses }).join(","));
});

test("with -subvolumes 1 the volumes are named without a folder", async () => {
  await using cluster = await startCluster({ flags: ["-subvolumes", "1", "-replicas", "2"] });
  await cluster.store("/flat", "flat");
  expect(cluster.filesOf(pathOf("/flat")).map((file) => file.subvolume)).toEqual(["", ""]);
  await cluster.master.stop();
  const placed = placedOn("/flat", { volumes: cluster.addresses, replicas: 2, subvolumes: 1 });
  expect(await recordOf(cluster.db, "/flat")).toBe(`HASH${md5Hex("flat")}${placed.join(",")}`);
});

test("with hundreds of subvolumes their names are upper-case hex of as many digits as it takes", async () => {
  await using cluster = await startCluster({ flags: ["-subvolumes", "300"] });
  const keys = Array.from({ length: 10 }, (_, i) => `/wide-${i}`);
  for (const key of keys) await cluster.store(key, "wide");
  await cluster.master.stop();
  const records = (await recordsIn(cluster.db)).map(({ value }) => value.slice(36));
  expect(records).toEqual(keys.map((key) => placedOn(key, { volumes: cluster.addresses, subvolumes: 300 }).join(",")));
  expect(records.join()).toMatch(/\/sv[0-9A-F]{3}/);
});

test("volumes below a path of their server hold values there", async () => {
  await using cluster = await startCluster();
  const volumes = cluster.addresses.map((address) => `${address}/disks/first`);
  await cluster.startMaster([], volumes);
  await cluster.store("/below", "below");
  expect(cluster.filesOf(pathOf("/below"))).toEqual([]); // Not at the top.
  const answer = await cluster.ask("GET", "/below");
  expect(answer.headers.get("key-volumes")).toBe(placedOn("/below", { volumes }).join(","));
  expect(answer.headers.get("location")).toMatch(/^http:\/\/localhost:\d+\/disks\/first\/sv0\d\//);
  await cluster.master.stop();
  expect(await recordOf(cluster.db, "/below")).toBe(
    `HASH${md5Hex("below")}${placedOn("/below", { volumes }).join(",")}`,
  );
});

test("what was acknowledged is there after a restart", async () => {
  await using cluster = await startCluster();
  for (let i = 0; i < 50; i++) await cluster.store(`/kept-${i}`, `value ${i}`);
  const before = (await cluster.ask("GET", "/?list")).text;
  await cluster.startMaster();
  expect((await cluster.ask("GET", "/?list")).text).toBe(before);
  expect(JSON.parse(before).keys.length).toBe(50);
});
