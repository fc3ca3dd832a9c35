// What jobs do to objects: rebuild, rebalance, export and import keep what S3 knows of them, and SIGTERM keeps nobody waiting.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { homeOf } from "../support/copies";
import { mkv, runMkv } from "../support/master";
import { writeRecords } from "../support/records";
import { startS3 } from "../support/s3";
import { ask, sign } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);

test("objects keep type, metadata and emptiness through rebuild, rebalance, export and import", async () => {
  await using s3 = await startS3({ volumes: 4 });
  const { cluster, port } = s3;
  await ask(port, { method: "PUT", target: "/kept" });
  const headers = { "content-type": "text/x", "x-amz-meta-a": "1" };
  for (const [key, body] of [
    ["full", "bytes"],
    ["empty", ""],
  ] as const)
    expect((await ask(port, { method: "PUT", target: `/kept/${key}`, body, headers })).status).toBe(200);
  const expectKept = async () => {
    for (const [key, body] of [
      ["full", "bytes"],
      ["empty", ""],
    ] as const) {
      const read = await ask(port, { target: `/kept/${key}` });
      const told = [read.text, read.headers.get("content-type"), read.headers.get("x-amz-meta-a")];
      expect([read.status, ...told]).toEqual([200, body, "text/x", "1"]);
    }
    expect((await ask(port, { target: "/" })).text).toContain("<Name>kept</Name>");
  };
  const store = (db: string) => ["-db", db, "-volumes", cluster.addresses.join(",")];
  const well = async (...words: string[]) => {
    const done = await runMkv(words, { timeoutMs: 60_000 });
    expect([words.at(-1), done.exitCode, done.stderr]).toEqual([words.at(-1), 0, done.stderr]);
    return done.stdout;
  };
  await cluster.master.stop();
  await well(...store(cluster.db), "rebuild");
  await well(...store(cluster.db), "-replicas", "4", "rebalance");
  await well(...store(cluster.db), "rebalance");
  await cluster.startMaster();
  await expectKept();
  await cluster.master.stop();
  const backup = await well("-db", cluster.db, "export");
  const db = join(cluster.db, "..", "imported");
  const importing = Bun.spawn(mkv([...store(db), "-latest", "import"]), { stdin: Buffer.from(backup), stderr: "pipe" });
  expect([await importing.exited, await importing.stderr.text()]).toEqual([0, expect.any(String)]);
  await well(...store(db), "-md5", "verify");
  const flags = ["-s3port", String(port), "-s3keys", s3.keys];
  await using imported = await cluster.anotherMaster(flags, { db });
  expect(imported.output).toContain("S3 port");
  await expectKept();
});

test("what another program has stored under the key in between has nothing of it", async () => {
  await using s3 = await startS3();
  const { cluster, port } = s3;
  const headers = { "content-type": "text/x" };
  await ask(port, { method: "PUT", target: "/other" });
  expect((await ask(port, { method: "PUT", target: "/other/key", body: "bytes", headers })).status).toBe(200);
  await cluster.master.stop();
  const record = `HASH${md5Hex("other")}${homeOf(cluster, "/other/key").join(",")}`;
  await writeRecords(cluster.db, [["/other/key", record]]);
  await cluster.startMaster();
  const read = await ask(port, { method: "HEAD", target: "/other/key" });
  const told = [read.status, read.headers.get("etag"), read.headers.get("content-type")];
  expect(told).toEqual([200, `"${md5Hex("other")}"`, "application/octet-stream"]);
});

test("a master that is asked to end does not wait for idle clients of S3", async () => {
  await using s3 = await startS3();
  const { headers } = sign({ target: "/" });
  const idle = connect(s3.port, "127.0.0.1");
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  idle.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`);
  await new Promise<void>((resolve) => idle.once("data", () => resolve()));
  const silent = connect(s3.port, "127.0.0.1");
  await new Promise<void>((resolve) => silent.once("connect", () => resolve()));
  const startedMs = performance.now();
  expect(await s3.cluster.master.stop()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  for (const socket of [idle, silent]) socket.destroy();
});
