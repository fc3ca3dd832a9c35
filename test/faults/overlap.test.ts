// Requests for one key that meet.
import { expect, setDefaultTimeout, test } from "bun:test";
import { follow } from "../support/http";
import { homeOf } from "../support/copies";
import { gateOf, newValue, oldValue, startStore, storeAway } from "./crash";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();

test("a GET that asks for the value at its old place while it moves finds it at the new one", async () => {
  await using cluster = await startStore(3, ["-replicas", "1", "-voltimeout", "30s"]);
  const { key, away } = await storeAway(cluster, "moving", 1);
  const old = gateOf(cluster, away[0]!);
  old.hold("HEAD", "arrival", { times: 1 });
  const get = cluster.ask("GET", key);
  await old.holds("HEAD");
  expect((await cluster.ask("POST", `${key}?rebalance`)).status).toBe(204);
  old.open();
  const found = await get;
  expect([found.status, found.headers.get("key-volumes")]).toEqual([302, homeOf(cluster, key, 1)[0]!]);
  expect((await follow(found)).body.equals(oldValue(key))).toBe(true);
});

test("a GET that asks for a value while it is deleted says that there is none", async () => {
  await using cluster = await startStore(3, ["-replicas", "1", "-voltimeout", "30s"]);
  const key = "/deleted";
  await cluster.store(key, newValue(key));
  const gate = gateOf(cluster, homeOf(cluster, key, 1)[0]!);
  gate.hold("HEAD", "arrival", { times: 1 });
  const get = cluster.ask("GET", key);
  await gate.holds("HEAD");
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  gate.open();
  expect((await get).status).toBe(404);
});
