// Reading through the master: it goes on from another copy when a volume breaks off, and costs next to no memory.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { bigValue } from "../support/big";
import { pathOf } from "../support/placement";
import { type S3Cluster, startS3 } from "../support/s3";
import { ask, sign } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(90_000);

/** Reads an object no faster than it is told to; `pause` is called when the first bytes are there. */
async function readSlowly(s3: S3Cluster, target: string, pause: () => Promise<void>): Promise<Buffer> {
  const { headers } = sign({ target });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(s3.port, "127.0.0.1");
  const pieces: Buffer[] = [];
  const ended = new Promise<void>((resolve, reject) => socket.once("close", resolve).once("error", reject));
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines.join("")}\r\n`);
  await new Promise<void>((resolve) =>
    socket.once("data", (piece: Buffer) => (pieces.push(piece), socket.pause(), resolve())),
  );
  await pause();
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.resume();
  await ended;
  const all = Buffer.concat(pieces);
  return all.subarray(all.indexOf("\r\n\r\n") + 4);
}

/** The servers of volumes that are being read from by the master. */
function readFrom({ cluster }: S3Cluster): number[] {
  const text = Bun.spawnSync(["ss", "-tnH", "state", "established"]).stdout.toString();
  return cluster.volumes.flatMap(({ port }, i) => {
    const lines = text.split("\n").filter((line) => new RegExp(`:${port}\\s+\\S+:\\d+\\s*$`).test(line));
    return lines.some((line) => Number(line.trim().split(/\s+/)[1]) > 0) ? [i] : [];
  });
}

test.concurrent(
  "a volume that dies in the middle is followed by another: the client gets the object, whole",
  async () => {
    await using s3 = await startS3();
    await ask(s3.port, { method: "PUT", target: "/read" });
    const value = bigValue("read", 30_000_000);
    expect((await ask(s3.port, { method: "PUT", target: "/read/big", body: value })).status).toBe(200);
    const body = await readSlowly(s3, "/read/big", async () => {
      const [sending] = await until(() => (readFrom(s3).length > 0 ? readFrom(s3) : undefined), {
        what: "a volume sends",
      });
      await s3.cluster.volumes[sending!]!.kill();
    });
    expect([body.length, md5Hex(body)]).toEqual([value.length, md5Hex(value)]);
  },
);

test.concurrent("a copy that a reader finds missing comes back by itself", async () => {
  await using s3 = await startS3({ flags: ["-heal", "20"] });
  await ask(s3.port, { method: "PUT", target: "/read" });
  await ask(s3.port, { method: "PUT", target: "/read/lost", body: "copied" });
  const [lost] = s3.cluster.filesOf(pathOf("/read/lost"));
  rmSync(lost!.file);
  const isBack = async () => {
    expect((await ask(s3.port, { target: "/read/lost" })).text).toBe("copied");
    return existsSync(lost!.file);
  };
  await until(isBack, { what: "the copy is back", deadlineMs: 30_000 });
});

test.concurrent("big objects pass in both directions without growing the master", async () => {
  await using s3 = await startS3({ flags: ["-threads", "1"] });
  await ask(s3.port, { method: "PUT", target: "/read" });
  const value = bigValue("big", 100_000_000);
  expect(
    (await ask(s3.port, { method: "PUT", target: "/read/warm", body: value.subarray(0, 20_000_000) })).status,
  ).toBe(200);
  const before = s3.cluster.master.peakRssBytes();
  expect((await ask(s3.port, { method: "PUT", target: "/read/big", body: value })).status).toBe(200);
  const body = await readSlowly(s3, "/read/big", () => Bun.sleep(0));
  expect(md5Hex(body)).toBe(md5Hex(value));
  expect(s3.cluster.master.peakRssBytes() - before).toBeLessThan(80_000_000);
});
