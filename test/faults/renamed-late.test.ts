// A volume that has another name than it had, and says so late.
import { expect, setDefaultTimeout, test } from "bun:test";
import { plainKeys } from "../jobs/keys";
import { startCluster } from "../support/cluster";
import { filesOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { placedOn } from "../support/placement";
import { freePort } from "../support/ports";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test("a master was killed: what a volume still has in hand lands over no value that it has got under another name", async () => {
  const flags = ["-subvolumes", "1", "-replicas", "1", "-threads", "1"];
  await using cluster = await startGatedCluster({ flags, volumes: 2 });
  const before = cluster.addresses;
  const after = [before[0]!.replace("localhost", "127.0.0.1"), before[1]!];
  const isFirst = (key: string, volumes: string[]) =>
    placedOn(key, { volumes, replicas: 1, subvolumes: 1 })[0] === volumes[0];
  const key = plainKeys("key", 100).find((key) => isFirst(key, before) && isFirst(key, after))!;
  const gate = cluster.gates[0]!;
  gate.hold("PUT", "arrival", { late: true, times: 1 });
  const put = cluster.ask("PUT", key, { body: "never acknowledged" }).catch(() => undefined);
  await gate.holds("PUT");
  await cluster.master.kill();
  await put;
  await cluster.startMaster(flags, after);
  const written = async () => (await cluster.ask("PUT", key, { body: "acknowledged" })).status === 201;
  await until(written, { what: "the key is written", deadlineMs: 30_000 });
  gate.open();
  await until(() => gate.lateArrivals === 1, { what: "what was in hand arrives" });
  const { status, headers } = await fetch(`http://127.0.0.1:${cluster.master.port}${key}`, { redirect: "manual" });
  expect(status).toBe(302);
  expect(await (await fetch(headers.get("location")!)).text()).toBe("acknowledged");
});

test("one that is heard of after the start is known to all threads: what they delete is removed from it", async () => {
  const flags = ["-subvolumes", "1", "-replicas", "1", "-threads", "3"];
  await using cluster = await startCluster({ flags, volumes: 2 });
  const [volume] = cluster.volumes;
  const isOnIt = (key: string) =>
    placedOn(key, { volumes: cluster.addresses, replicas: 1, subvolumes: 1 })[0] === volume!.address;
  const keys = plainKeys("key", 40).filter(isOnIt);
  for (const key of keys) await cluster.store(key);
  await cluster.master.stop();
  await volume!.stop();
  volume!.port = await freePort();
  await cluster.startMaster();
  await volume!.start();
  for (const key of keys) expect((await cluster.ask("DELETE", key)).status).toBe(204); // Each over a connection of its own.
  await until(() => filesOn(volume!.dir).length === 0, { what: () => `${filesOn(volume!.dir).length} files go` });
});
