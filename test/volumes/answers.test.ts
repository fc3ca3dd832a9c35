// Answers that nginx does not give, and a proxy in front of it may: none is taken for what a volume says of a file.
import { expect, test } from "bun:test";
import { type AddressInfo, createServer } from "node:net";
import { Disks, type Room } from "../../src/volumes/disks";
import { Volumes } from "../../src/volumes/volumes";
import { settings } from "./watch";

const DATE = "Thu, 01 Jan 2026 00:00:00 GMT";
const found = `HTTP/1.1 200 OK\r\nContent-Length: 7\r\nLast-Modified: ${DATE}\r\n\r\n`;

/** A volume that answers each question, however many come together, with these bytes. */
async function startRaw(answerTo: (method: string, path: string) => string) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const lines = data.toString("latin1").matchAll(/^(\w+) (\S+) HTTP/gm);
      socket.write([...lines].map(([, method, path]) => answerTo(method!, path!)).join(""));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const volumes = Volumes.of({ volumes: [name], replicas: 1, subvolumes: 1 }, settings);
  return { name, volumes, [Symbol.dispose]: () => void server.close() };
}

test("what comes before the answer of a question is not taken for it, nor the answer for that of the next one", async () => {
  const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  using raw = await startRaw((_, path) => {
    return hints + (path === "/gone" ? "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n" : found);
  });
  const asked = ["/there", "/gone", "/there", "/gone"].map((path) => raw.volumes.head(raw.name, path));
  const there = { bytes: 7, modified: DATE };
  expect(await Promise.all(asked)).toEqual([there, undefined, there, undefined]);
});

test.each([
  ["a page for everything", "Content-Type: text/html\r\nContent-Length: 2048"],
  ["no length", `Last-Modified: ${DATE}\r\nTransfer-Encoding: chunked`],
  ["a date that is none", "Last-Modified: yesterday\r\nContent-Length: 7"],
])("200 with %s says nothing of a file: neither that it is there nor how long it is", async (_, lines) => {
  using raw = await startRaw(() => `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n`);
  const why = `${raw.name} answered as nginx does for no file`;
  expect(await raw.volumes.head(raw.name, "/key").catch(String)).toContain(why);
  expect(await (raw.volumes.holds(raw.name, "/key") as Promise<boolean>).catch(String)).toContain(why);
  expect(await raw.volumes.open(raw.name, "/key").catch(String)).toContain(why);
});

test("a body whose length is said in two ways is not believed", async () => {
  using raw = await startRaw(() => `${found.slice(0, -2)}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`);
  expect(await raw.volumes.open(raw.name, "/key").catch(String)).toContain("without Last-Modified or Content-Length");
});

test.each(["5, 5", "7x", "1e3", "0x7", "-1", "", "9".repeat(20), "3\r\nContent-Length: 7"])(
  "a length that is no number, or one of two, is not believed: %p",
  async (length) => {
    using raw = await startRaw(() => `${found.replace("7", length)}garbage`);
    const why = /does not say how long its answer is/;
    expect(await raw.volumes.head(raw.name, "/key").catch(String)).toMatch(why);
    expect(await raw.volumes.open(raw.name, "/key").catch(String)).toMatch(why);
  },
);

test.each([
  "null",
  "5",
  "[]",
  '{"name":"a","type":"file","mtime":"x"}',
  '{"name":"a/b","type":"directory","mtime":"x"}',
])("a list with an entry that is none is no list: %p", async (entry) => {
  const body = `[\n${entry}\n]\n`;
  using raw = await startRaw(() => found.replace("7", String(body.length)) + body);
  const listed = Array.fromAsync(raw.volumes.list(raw.name, "/"));
  expect(await listed.catch(String)).toContain("sends no listing of its files (an entry has no name or size)");
});

test("a list of one endless line is no list, and is not waited for", async () => {
  using raw = await startRaw(() => `${found.replace("7", String(2 ** 40))}[\n${"x".repeat(10_000)}`);
  const listed = Array.fromAsync(raw.volumes.list(raw.name, "/"));
  expect(await listed.catch(String)).toContain("sends no listing of its files (a line has no end)");
});

test.each([
  ["a greeting of another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["a status that is none", "HTTP/1.1 fine\r\n\r\n"],
  ["a head without an end", `HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(80_000)}`],
])("%s is not taken for an answer, nor waited for", async (_, text) => {
  using raw = await startRaw(() => text);
  expect(await raw.volumes.head(raw.name, "/key").catch(String)).toContain(`${raw.name} does not speak HTTP`);
});

test.each([
  ["a size that is none", "five\r\n[\n]\n\r\n0\r\n\r\n"],
  ["a chunk that goes on", "4\r\n[\n]\n more\r\n0\r\n\r\n"],
  ["a line without an end", "4".repeat(2_000)],
])("a body in chunks with %s is not believed", async (_, body) => {
  using raw = await startRaw(() => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
  const why = `${raw.name} sends a body that is not framed as HTTP has it`;
  expect(await Array.fromAsync(raw.volumes.list(raw.name, "/")).catch(String)).toContain(why);
});

test("a list that goes on after its end is no list", async () => {
  const body = '[\n{"name":"a","type":"directory","mtime":"x"}\n]\n{"name":"b","type":"directory","mtime":"x"}\n';
  using raw = await startRaw(() => found.replace("7", String(body.length)) + body);
  expect(await Array.fromAsync(raw.volumes.list(raw.name, "/")).catch(String)).toContain("it goes on after its end");
});

const space = { device: 1, bytesTotal: 2, bytesFree: 1, filesTotal: 2, filesFree: 1 };
test.each([
  ["no JSON", "free: 7", {}],
  ["another object", '{"free":7}', {}],
  ["no list", '{"disks":7}', {}],
  ["no name", JSON.stringify({ disks: [null, space] }), {}],
  ["no numbers", JSON.stringify({ disks: [{ name: "", ...space, bytesFree: "1" }] }), {}],
  [
    "what belongs there",
    JSON.stringify({ disks: [null, { name: "", ...space }] }),
    { space: { ...space, isReadOnly: false } },
  ],
])("of its disks a volume says %s", async (_, body, room) => {
  using raw = await startRaw(() => found.replace("7", String(body.length)) + body);
  const disks = new Disks(raw.volumes);
  await raw.volumes.head(raw.name, "/key");
  await disks.ask();
  expect(disks.of(raw.name, "sv00")).toEqual(room as Room);
});
