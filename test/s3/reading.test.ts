// Reading through the master: it goes on from another copy when a volume breaks off, and costs next to no memory.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { bigValue } from "../support/big";
import { temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { pathOf } from "../support/placement";
import { type S3Cluster, s3Flags, startS3 } from "../support/s3";
import { ask, sign } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(90_000);

/** Reads an object no faster than it is told to; `pause` is called when the first bytes are there. */
async function readSlowly(s3: S3Cluster, target: string, pause: (socket: Socket) => Promise<void>): Promise<Buffer> {
  const { headers } = sign({ target });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(s3.port, "127.0.0.1");
  const pieces: Buffer[] = [];
  const ended = new Promise<void>((resolve, reject) => socket.once("close", resolve).once("error", reject));
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines.join("")}\r\n`);
  await new Promise<void>((resolve) =>
    socket.once("data", (piece: Buffer) => (pieces.push(piece), socket.pause(), resolve())),
  );
  await pause(socket);
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.resume();
  await ended;
  const all = Buffer.concat(pieces);
  return all.subarray(all.indexOf("\r\n\r\n") + 4);
}

/** The volumes, by their numbers, whose answers are waited for by somebody: the kernel still has bytes of theirs. */
function readFrom({ cluster }: S3Cluster): number[] {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].filter(existsSync).map((table) => readFileSync(table, "latin1"));
  const sending = tables.flatMap((text) => [...text.matchAll(/^ *\d+: \w+:(\w{4}) \w+:\w+ 01 (\w{8}):/gm)]);
  const ports = sending.filter(([, , waiting]) => parseInt(waiting!, 16) > 0).map(([, port]) => parseInt(port!, 16));
  return cluster.volumes.flatMap(({ port }, i) => (ports.includes(port) ? [i] : []));
}

// By itself: its gates are in this process, which large values keep busy.
test("a value that is replaced while a part of it is asked for is that of one of the two, whole", async () => {
  await using folder = temporaryFolder();
  const { flags, port } = await s3Flags(folder.path);
  await using cluster = await startGatedCluster({ flags: [...flags, "-voltimeout", "10s"] });
  await ask(port, { method: "PUT", target: "/read" });
  const put = async (body: string) => (await ask(port, { method: "PUT", target: "/read/key", body })).status;
  expect(await put("old-value")).toBe(200);
  cluster.gates.forEach((gate) => gate.hold("GET", "arrival", { times: 1 }));
  const asked = ask(port, { target: "/read/key", headers: { range: "bytes=0-2" } });
  await Promise.any(cluster.gates.map((gate) => gate.holds("GET")));
  expect(await put("new-value")).toBe(200);
  cluster.openAll();
  const { status, text } = await asked;
  expect([status, text]).toEqual([206, "new"]);
});

test.concurrent(
  "a volume that dies in the middle is followed by another: the client gets the object, whole",
  async () => {
    await using s3 = await startS3();
    await ask(s3.port, { method: "PUT", target: "/read" });
    const value = bigValue("read", 30_000_000);
    for (let at = 0; at < value.length - 4; at += 4096) value.writeUInt32LE(at, at); // No two pieces are alike.
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

test.concurrent("a client that goes in the middle of an object lets go of the volume", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/read" });
  const body = bigValue("left", 30_000_000);
  expect((await ask(s3.port, { method: "PUT", target: "/read/big", body })).status).toBe(200);
  await readSlowly(s3, "/read/big", async (socket) => {
    await until(() => readFrom(s3).length > 0, { what: "a volume sends" });
    socket.destroy();
  });
  await until(() => readFrom(s3).length === 0, { what: "no volume sends any more" });
});

test.concurrent("when all volumes die in the middle the client sees that, and the master goes on", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/read" });
  const value = bigValue("cut", 30_000_000);
  expect((await ask(s3.port, { method: "PUT", target: "/read/big", body: value })).status).toBe(200);
  const kill = async () => void (await Promise.all(s3.cluster.volumes.map((volume) => volume.kill())));
  expect((await readSlowly(s3, "/read/big", kill)).length).toBeLessThan(value.length);
  expect((await ask(s3.port, { target: "/read/none" })).status).toBe(404);
});

test.concurrent("a copy that is refused lets go of its source", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/read" });
  const body = bigValue("source", 30_000_000);
  expect((await ask(s3.port, { method: "PUT", target: "/read/source", body })).status).toBe(200);
  await ask(s3.port, { method: "PUT", target: "/read/there", body: "there" });
  const headers = { "x-amz-copy-source": "read/source", "if-none-match": "*" };
  expect((await ask(s3.port, { method: "PUT", target: "/read/there", headers })).status).toBe(412);
  await until(() => readFrom(s3).length === 0, { what: "no volume sends any more" });
});

test.concurrent("what an answer could not say is refused, and lets go of the volume", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/read" });
  const body = bigValue("refused", 20_000_000);
  expect((await ask(s3.port, { method: "PUT", target: "/read/big", body })).status).toBe(200);
  for (const value of ["a%0Ab", "a%01b"]) {
    const { status, text } = await ask(s3.port, { target: `/read/big?response-content-type=${value}` });
    expect([status, text]).toEqual([400, expect.stringContaining("<Code>InvalidArgument</Code>")]);
  }
  await s3.cluster.store("/read/no\0name.html", body); // A native value has the type of its name.
  const { status, headers } = await ask(s3.port, { target: "/read/no%00name.html" });
  expect([status, headers.get("content-type")]).toEqual([200, "text/html;charset=utf-8"]);
  await until(() => readFrom(s3).length === 0, { what: "no volume sends any more", deadlineMs: 10_000 });
});

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

test.concurrent("a copy that was cut off is not read: another one is, or none", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/read" });
  await ask(s3.port, { method: "PUT", target: "/read/cut", body: "a whole object" });
  const copies = s3.cluster.filesOf(pathOf("/read/cut"));
  const read = async (method: string) => {
    const { status, headers, text } = await ask(s3.port, { method, target: "/read/cut" });
    return [status, headers.get("content-length"), text];
  };
  for (const [i, { file }] of copies.entries()) {
    truncateSync(file, 7);
    if (i === copies.length - 1) break;
    for (let times = 0; times < 5; times++) expect(await read("GET")).toEqual([200, "14", "a whole object"]);
    expect((await read("HEAD")).slice(0, 2)).toEqual([200, "14"]);
  }
  expect(await read("GET")).toEqual([503, expect.any(String), expect.stringContaining("7 bytes instead of 14")]);
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
