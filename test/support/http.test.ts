import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type AddressInfo, type Server } from "node:net";
import { chunk, dial, raw, request } from "./http";

let server: Server;
let port: number;
let received = "";

beforeAll(async () => {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      received += data.toString("latin1");
      const kind = received.match(/^\w+ \/(\w*)/)?.[1];
      if (kind === "chunked")
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
      if (kind === "continue")
        socket.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
      if (kind === "until") socket.end("HTTP/1.1 200 OK\r\n\r\nto the end");
      if (kind === "short") socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => void server.close());

test("answers are read with each way of framing a body", async () => {
  received = "";
  expect((await request(port, { target: "/chunked" })).text).toBe("abcde");
  received = "";
  expect((await request(port, { target: "/until" })).text).toBe("to the end");
  received = "";
  expect(await raw(port, "PUT /continue HTTP/1.1\r\n\r\n")).toMatchObject({ status: 201, continued: true });
});

test("an answer that never comes, or is cut short, is an error", async () => {
  received = "";
  await expect(request(port, { target: "/silence", timeoutMs: 100 })).rejects.toThrow(
    "no complete answer within 100 ms",
  );
  received = "";
  await expect(request(port, { target: "/short" })).rejects.toThrow("closed without a complete answer");
});

test("requests go out byte for byte as asked", async () => {
  received = "";
  await request(port, { target: "/until//%00?a=%2F", body: "abc", chunkBytes: 2, headers: { X: "y" } });
  expect(received).toStartWith("GET /until//%00?a=%2F HTTP/1.1\r\n");
  expect(received).toEndWith("X: y\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  received = "";
  using wire = await dial(port);
  wire.write(chunk("x"));
  await expect(wire.answer({ timeoutMs: 50 })).rejects.toThrow("no complete answer");
});
