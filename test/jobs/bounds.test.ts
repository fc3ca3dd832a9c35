// What is beyond a bound of a job is told, and nothing of it is taken for done.
import { expect, test } from "bun:test";
import { MkvError } from "../../src/errors";
import { importFrom } from "../../src/jobs/backup";
import { Cursor } from "../../src/jobs/cursor";
import { type JobTarget } from "../../src/jobs/target";
import { type Draft } from "../../src/ledger/next";
import { limits } from "../../src/limits";
import { limited } from "../support/limited";

const progress = { at() {}, note() {} };

test("a job tries so many keys once more at its end, and tells of further ones at once", async () => {
  using _few = limited(limits, { triedAgain: 2 });
  const topology = { volumes: ["a:1"], replicas: 1, subvolumes: 1 };
  const task = { job: "verify", topology, flags: [], fromStart: false, dryRun: true } as const;
  const cursor = await Cursor.open<string>({} as JobTarget, { task, progress, counts: {} });
  const away = new MkvError("unavailable", "it does not answer");
  expect(["/a", "/b", "/c"].map((key) => cursor.takes(key, away))).toEqual([true, true, false]);
  expect((await Array.fromAsync(cursor.later())).map(([key]) => key)).toEqual(["/a", "/b"]);
});

test("a backup that remembers too much is refused, and makes no ledger", async () => {
  using _few = limited(limits, { rememberedInBackup: 1 });
  const header = { mkv: "backup", version: 1, time: "2026-11-27T00:00:00Z", consistent: true, behind: false };
  const lines = [header, ...["id a:1", "id b:1"].map((remembered) => ({ remembered, value: 1 }))];
  const chunks = (async function* () {
    yield Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  })();
  let ended = "";
  const draft = { finish: () => (ended += "finished"), [Symbol.asyncDispose]: async () => (ended += "left") };
  const begin = async () => draft as unknown as Draft;
  const imported = importFrom({ chunks, isLatest: true, begin, progress });
  await expect(imported).rejects.toThrow("the backup remembers more than 1 names");
  expect(ended).toBe("left");
});
