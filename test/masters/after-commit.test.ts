// The database goes away when a request has been committed and something is left to do on volumes: it is acknowledged all the
// same, and the rest is done when the database is back.
import { expect, setDefaultTimeout, test } from "bun:test";
import { homeOf, indexOf } from "../support/copies";
import { type GatedCluster, startGatedCluster } from "../support/gated";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(120_000);
const key = "/committed";

/** Has the key unlinked, with a copy where it does not belong: a write will have something to remove. */
async function withStray(cluster: GatedCluster): Promise<void> {
  const away = indexOf(cluster, homeOf(cluster, key)[0]!);
  await cluster.volumes[away]!.kill();
  await cluster.store(key, "old");
  expect((await cluster.ask("UNLINK", key)).status).toBe(204);
  await cluster.volumes[away]!.restart();
  let count = 0;
  const isWritten = async () => {
    const probe = `/probe-${count++}`;
    await cluster.store(probe);
    const { headers } = await cluster.ask("GET", probe);
    return headers.get("key-volumes")!.includes(cluster.addresses[away]!);
  };
  await until(isWritten, { what: "the volume that was away is written to", deadlineMs: 30_000 });
  for (let i = 0; i < count; i++) expect((await cluster.ask("DELETE", `/probe-${i}`)).status).toBe(204);
}

test.concurrent.each([
  ["DELETE", (cluster: GatedCluster) => cluster.store(key, "old"), 204, 0],
  ["PUT", withStray, 201, 3],
] as const)("a %s", async (method, prepare, acknowledged, copies) => {
  await using database = await startPostgres();
  await using cluster = await startGatedCluster({ db: database.url, volumes: 4 });
  await prepare(cluster);
  for (const gate of cluster.gates) gate.hold("DELETE", "arrival");
  const answer = cluster.ask(method, key, method === "PUT" ? { body: "new" } : {});
  await Promise.race(cluster.gates.map((gate) => gate.holds("DELETE")));
  await database.stop("SIGQUIT");
  cluster.openAll();
  expect((await answer).status).toBe(acknowledged);
  await database.start();
  await until(async () => (await cluster.ask("GET", key)).status === (copies === 0 ? 404 : 302), {
    what: "it is as acknowledged",
  });
  await until(() => cluster.remains().length === copies, { what: "the rest is done", deadlineMs: 60_000 });
});
