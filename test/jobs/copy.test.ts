// Jobs that only look, over a copy of the index that was made while its master served, and goes on.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { copiesOf } from "../support/copies";
import { copyFolder, temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { runJob } from "./job";

setDefaultTimeout(60_000);

test("over a copy of the index a verify pays no debts, and a dry run tells the volumes nothing", async () => {
  await using cluster = await startGatedCluster();
  await using copy = temporaryFolder();
  const notes = () => cluster.volumes.map(({ dir }) => readFileSync(join(dir, "mkv", "epoch"), "utf8"));
  await cluster.store("/long", "x".repeat(3_000_000));
  for (const gate of cluster.gates) gate.hold("PUT", "arrival");
  const put = cluster.ask("PUT", "/key", { body: "acknowledged" });
  for (const gate of cluster.gates) await gate.holds("PUT");
  copyFolder(dirname(cluster.db), copy.path); // By this one the write is not finished.
  cluster.openAll();
  expect((await put).status).toBe(201);

  const db = join(copy.path, basename(cluster.db));
  const before = notes();
  expect((await runJob(cluster, "verify", { db, flags: ["-dry-run", "-repair"] })).exitCode).toBe(0);
  expect(notes()).toEqual(before);
  // It takes longer than a request may be late: by then what an earlier process has left would be removed.
  expect((await runJob(cluster, "verify", { db, flags: ["-md5", "-rate", "1"] })).exitCode).toBe(0);
  expect(Object.keys(copiesOf(cluster, "/key")).length).toBe(3);
});
