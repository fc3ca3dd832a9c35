// Much unfinished work: it is done some at once, and moves leave room in it for writes.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { fileOf } from "../jobs/damage";
import { homeOf, keyFirstOn } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const flags = ["-replicas", "1", "-threads", "1"];
const MOVES_WAIT = 80_000; // With so many keys that owe something.

test.concurrent("what is owed is removed some at once: a removal that takes long holds up no other", async () => {
  await using cluster = await startGatedCluster({ volumes: 1, flags });
  const keys = ["/one", "/two", "/three"];
  for (const key of keys) await cluster.store(key);
  await cluster.volumes[0]!.kill();
  for (const key of keys) expect((await cluster.ask("DELETE", key)).status).toBe(204);
  const [gate] = cluster.gates;
  gate!.hold("DELETE", "arrival");
  await cluster.volumes[0]!.restart();
  await gate!.holds("DELETE", keys.length);
  gate!.open();
  await until(() => cluster.remains().length === 0, { what: "all are removed" });
});

test.concurrent(
  "a move waits while too much is unfinished, and goes on when some of it is done; writes do not",
  async () => {
    await using cluster = await startGatedCluster({ volumes: 2, flags });
    const [key, other] = [keyFirstOn(cluster, 1, "moved"), keyFirstOn(cluster, 1, "written")];
    await cluster.startMaster(flags, cluster.addresses.slice(0, 1));
    await cluster.store(key);
    await cluster.master.stop();
    const payable = cluster.addresses[0]!;
    const lines = Array.from({ length: MOVES_WAIT }, (_, i) => {
      const hex = Buffer.from(`/deleted-${i}`).toString("hex");
      const owed = { "left-over": [i === 0 ? `${payable}/sv00` : "localhost:1/sv00"] };
      return `${JSON.stringify({ key: hex, n: 1_000_000 + i, record: null, owed })}\n`;
    });
    writeFileSync(`${cluster.db}.journal-0`, lines.join(""));
    const [gate] = cluster.gates;
    gate!.hold("DELETE", "arrival");
    await cluster.startMaster();
    await gate!.holds("DELETE");
    let isMoved = false;
    const moving = cluster.ask("POST", `${key}?rebalance`).finally(() => (isMoved = true));
    expect((await cluster.ask("PUT", other, { body: "x" })).status).toBe(201);
    await Bun.sleep(500); // Long enough for a move that does not wait.
    expect(isMoved).toBe(false);
    gate!.open();
    expect((await moving).status).toBe(204);
    expect(existsSync(fileOf(cluster, key, homeOf(cluster, key, 1)[0]!))).toBe(true);
  },
);
