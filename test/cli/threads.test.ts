// One thread that dies takes the process along: half a master would lose every other request.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { readConfig } from "../../src/cli/config";
import { runServer } from "../../src/cli/server";
import { startWorker } from "../../src/cli/threads";
import { nowMs } from "../../src/clock";
import { temporaryFolder } from "../support/folder";

const entry = new URL("dying.worker.ts", import.meta.url).href;

test("a worker that dies of an exception is told of, with its reason, after what it has said", async () => {
  const said: unknown[] = [];
  const worker = startWorker(3, { entry, task: {}, onMessage: (message) => void said.push(message) });
  await expect(worker.ended).rejects.toThrow("thread 3 has died (out of luck): stopping");
  expect(said).toEqual(["serving"]);
});

test("a worker that ends by itself has ended without a failure", async () => {
  const worker = startWorker(1, { entry, task: { ends: true }, onMessage() {} });
  expect(await worker.ended).toBeUndefined();
});

test("all threads have one clock, however late they were started", async () => {
  const said: unknown[] = [];
  const beforeMs = nowMs();
  const clock = new URL("clock.worker.ts", import.meta.url).href;
  await startWorker(1, { entry: clock, task: {}, onMessage: (message) => void said.push(message) }).ended;
  expect(said).toHaveLength(1);
  expect(said[0]).toBeGreaterThanOrEqual(beforeMs);
  expect(said[0]).toBeLessThanOrEqual(nowMs());
});

test("a master one of whose threads dies ends, and says which and why", async () => {
  await using folder = temporaryFolder();
  const flags = { db: join(folder.path, "index"), volumes: "localhost:1", replicas: "1", port: "0", threads: "2" };
  const defaults = {
    subvolumes: "10",
    probe: "key",
    voltimeout: "1s",
    stalltimeout: "10s",
    clienttimeout: "30s",
    grace: "2m",
    linkttl: "1h",
    rate: "0",
  };
  const config = readConfig({ ...defaults, ...flags }, {});
  const served = runServer(config, { stop: new AbortController().signal, entry });
  await expect(served).rejects.toThrow("thread 1 has died (out of luck): stopping");
});
