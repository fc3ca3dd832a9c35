// A master is killed in the middle of a write, and started with another name for the volume that still has it in hand.
import { expect, setDefaultTimeout, test } from "bun:test";
import { plainKeys } from "../jobs/keys";
import { startGatedCluster } from "../support/gated";
import { placedOn } from "../support/placement";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test("what a volume still has in hand lands over no value that it has got under another name", async () => {
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
