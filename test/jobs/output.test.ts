// What a job has found out reaches whoever reads it, all of it and in order: also a reader who is slow.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { mkv } from "../support/master";
import { pathOf } from "../support/placement";
import { runJob } from "./job";

setDefaultTimeout(60_000);

test("all that a verify finds is told to a reader who is slow, and at the end how many keys that are", async () => {
  await using folder = temporaryFolder();
  await using cluster = await startCluster();
  const keys = Array.from({ length: 800 }, (_, i) => `/${String(i).padStart(150, "x")}`);
  for (let at = 0; at < keys.length; at += 20)
    await Promise.all(keys.slice(at, at + 20).map((key) => cluster.store(key, "value")));
  const { dir } = cluster.volumes[0]!;
  for (const disk of readdirSync(dir).filter((name) => name.startsWith("sv")))
    for (const hash of readdirSync(join(dir, disk))) rmSync(join(dir, disk, hash), { recursive: true });
  const program = mkv(["-master", cluster.master.url, "verify"])
    .map((word) => `'${word}'`)
    .join(" ");
  const way = `${program} 2>&1 | { sleep 1; cat >said; }`; // A pipe takes 64 kB: it is full when it is read.
  await using ran = Bun.spawn(["bash", "-o", "pipefail", "-c", way], { cwd: folder.path });
  expect(await ran.exited).toBe(1);
  const lines = readFileSync(join(folder.path, "said"), "utf8").trimEnd().split("\n");
  const found = lines.filter((line) => line.includes("has no copy"));
  expect(keys.filter((key) => !found.some((line) => line.includes(key)))).toEqual([]);
  expect(lines.slice(-2)).toEqual([
    expect.stringMatching(/^verified 800 keys/),
    expect.stringMatching(/^mkv: 800 problems are left/),
  ]);
});

test("what a verify finds plays no tricks with a terminal, whatever a key is called", async () => {
  await using cluster = await startCluster();
  const key = "/\u009b2J\u202e\u007f";
  await cluster.store(key);
  rmSync(cluster.filesOf(pathOf(key))[0]!.file);
  const { output } = await runJob(cluster, "verify", { master: cluster.master.url });
  expect(output).toContain('"/\\u009b2J\\u202e\\u007f": ');
  expect(output).not.toMatch(/[\x7f-\x9f\u202e]/);
});
