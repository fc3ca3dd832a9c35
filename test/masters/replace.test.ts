// A master dies in the middle of a replacement: another one of the same store goes on, or leaves the old value.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { follow, request } from "../support/http";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

// Short values: whose owner died in a stream, that key waits for longer.
setDefaultTimeout(120_000);

test.concurrent.each([
  ["before its commit: the old value stays", "PUT", "old"],
  ["after its commit: the new value comes", "MOVE", "new"],
] as const)("a master that dies %s, whole, on all volumes, and nothing else is left", async (_, method, wins) => {
  await using database = await startPostgres();
  await using cluster = await startGatedCluster({ db: database.url, flags: ["-stalltimeout", "5s"] });
  await using second = await cluster.anotherMaster();
  const key = "/replaced";
  const values = { old: valueOf("old", 100_000), new: valueOf("new", 100_000) };
  await cluster.store(key, values.old);
  const points =
    method === "PUT" ? (["answer", "body", "arrival"] as const) : (["answer", "arrival", "arrival"] as const);
  points.forEach((point, i) => cluster.gates[i]!.hold(method, point));
  const answered = cluster.ask("PUT", `${key}?replace`, { body: values.new }).catch(() => undefined);
  await Promise.all(points.map((_, i) => cluster.gates[i]!.holds(method)));
  await cluster.master.kill();
  await answered;
  cluster.openAll();
  const home = homeOf(cluster, key);
  const isDone = () =>
    Bun.deepEquals(copiesOf(cluster, key), copiesOn(home, values[wins])) && cluster.remains().length === 3;
  await until(isDone, { what: `the ${wins} value is all there is`, deadlineMs: 60_000 });
  const isShown = async () => {
    const found = await request(second.port, { target: key });
    const told = [found.headers.get("content-md5"), md5Hex((await follow(found)).body)];
    return Bun.deepEquals(told, [md5Hex(values[wins]), md5Hex(values[wins])]);
  };
  await until(isShown, { what: "the other master shows it" });
  const next = async () =>
    (await request(second.port, { method: "PUT", target: `${key}?replace`, body: "next" })).status;
  await until(async () => (await next()) === 201, { what: "it may be replaced again", deadlineMs: 30_000 });
  expect(Object.keys(copiesOf(cluster, key)).length).toBe(3);
});
