// Threads: how they end is told to their starter. One that dies takes the process along: half a master would lose every
// other request.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { flagsGiven, readConfig } from "../../src/cli/config";
import { runServer } from "../../src/cli/server";
import { firstFailureStopsAll, inThread } from "../../src/cli/threads";
import { nowMs } from "../../src/clock";
import { temporaryFolder } from "../support/folder";

const entry = new URL("dying.worker.ts", import.meta.url).href;
const never = new AbortController().signal;

/** Has a thread do this, and gives what it said. */
async function threadThat(end: string | undefined, { number = 1, stop = never, from = entry } = {}) {
  const said: unknown[] = [];
  const result = inThread<unknown>(number, {
    entry: from,
    task: { end },
    stop,
    onSaid: (text) => void said.push(text),
  });
  return { said, result: await result };
}

test("a thread that dies of an exception is told of, with its reason", async () => {
  await expect(threadThat(undefined, { number: 3 })).rejects.toThrow("thread 3 has died (out of luck): stopping");
});

test("a thread ends with a result, after what it has said, or with the failure that it met", async () => {
  expect(await threadThat("result")).toEqual({ said: ["serving"], result: 42 });
  await expect(threadThat("failure")).rejects.toMatchObject({ code: "busy", message: "the index is in use" });
});

test("a thread that ends without either is a failure", async () => {
  await expect(threadThat("silence")).rejects.toThrow("thread 1 has ended: stopping");
});

test("all threads have one clock, however late they were started", async () => {
  const beforeMs = nowMs();
  const { said } = await threadThat(undefined, { from: new URL("clock.worker.ts", import.meta.url).href });
  expect(said).toHaveLength(1);
  expect(said[0]).toBeGreaterThanOrEqual(beforeMs);
  expect(said[0]).toBeLessThanOrEqual(nowMs());
});

test("the first failure stops all threads, and is thrown when they have ended", async () => {
  let others = 0;
  const work = firstFailureStopsAll(3, async (number, stop) => {
    if (number === 0) return await Promise.reject(new Error("first"));
    await threadThat("stop", { number, stop });
    others++;
    throw new Error("later");
  });
  await expect(work).rejects.toThrow("first");
  expect(others).toBe(2);
});

test("a master one of whose threads dies ends, and says which and why", async () => {
  await using folder = temporaryFolder();
  const flags = { db: join(folder.path, "index"), volumes: "localhost:1", replicas: "1", port: "0", threads: "2" };
  const served = runServer(await readConfig(flagsGiven("server", flags, {})), { stop: never, entry });
  await expect(served).rejects.toThrow("thread 1 has died (out of luck): stopping");
});
