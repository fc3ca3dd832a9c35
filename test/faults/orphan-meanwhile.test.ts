// An orphan whose key loses a copy while it is looked at: it may be needed, so it stays, and nobody says that it is gone.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { elsewhere, fileOf, plantOn } from "../jobs/damage";
import { homeOf } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { passTime } from "../support/orphans";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

test("an orphan stays, and is said to, where a copy of its key goes between the look and the removal", async () => {
  await using cluster = await startGatedCluster({ volumes: 3, flags: ["-replicas", "2"] });
  await cluster.store("/key");
  const volume = elsewhere(cluster, "/key");
  using stray = plantOn(cluster, volume, { key: "/key" });
  const look = () => cluster.ask("POST", `/key?orphan=${volume}&remove`);
  expect((await look()).text).toBe('{"state":"young"}');
  await passTime(cluster, 60);

  const [home] = homeOf(cluster, "/key");
  const gate = cluster.gates.find(({ address }) => home!.startsWith(address))!;
  gate.hold("HEAD", "answer", { times: 1 });
  const looking = look();
  await gate.holds("HEAD");
  rmSync(fileOf(cluster, "/key", home!));
  gate.open();
  const { status, text } = await looking;
  expect([status, JSON.parse(text)]).toEqual([
    200,
    { state: "kept", why: expect.stringContaining("keeps a copy of a key whose recorded ones are damaged") },
  ]);
  expect(existsSync(stray.file)).toBe(true);
});
