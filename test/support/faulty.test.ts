import { expect, test } from "bun:test";
import { deadVolume, startFaultyVolume } from "./faulty";
import { dial, request, type Ask } from "./http";

const put = (more: Partial<Ask> = {}): Ask => ({ method: "PUT", target: "/x", body: "0123456789", ...more });

test("a stand-in answers in the middle of a body, with either framing", async () => {
  await using volume = await startFaultyVolume(() => ({ does: "answer", status: 500, afterBytes: 4 }));
  expect((await request(volume.port, put())).status).toBe(500);
  expect((await request(volume.port, put({ chunkBytes: 2 }))).status).toBe(500);
});

test("a stand-in stalls or cuts where it is told to", async () => {
  await using stalling = await startFaultyVolume(() => ({ does: "stall", afterBytes: 4 }));
  await expect(request(stalling.port, put({ timeoutMs: 100 }))).rejects.toThrow("no complete answer");
  await using cutting = await startFaultyVolume(() => ({ does: "cut", afterBytes: 4 }));
  await expect(request(cutting.port, put())).rejects.toThrow("connection closed");
  await expect(request(Number((await deadVolume()).split(":")[1]), put())).rejects.toThrow();
});

test("a stand-in serves request after request on one connection and remembers them", async () => {
  await using volume = await startFaultyVolume(({ method }) => ({
    does: "answer",
    status: method === "PUT" ? 201 : 200,
    body: "b",
  }));
  using wire = await dial(volume.port);
  for (const framing of [
    "Content-Length: 3\r\n\r\nabc",
    "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
  ]) {
    wire.write(`PUT /a HTTP/1.1\r\n${framing}`);
    expect((await wire.answer()).status).toBe(201);
  }
  wire.write("HEAD /a HTTP/1.1\r\n\r\n");
  expect((await wire.answer({ toHead: true })).status).toBe(200);
  expect(volume.seen.map(({ method, bodyBytes }) => [method, bodyBytes])).toEqual([
    ["PUT", 3],
    ["PUT", 3],
    ["HEAD", 0],
  ]);
});
