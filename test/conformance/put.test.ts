import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { dial, follow, head } from "../support/http";
import { pathOf } from "../support/placement";
import { halfPut } from "../support/under-way";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(30_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

async function read(key: string): Promise<Buffer> {
  return (await follow(await cluster.ask("GET", key))).body;
}

test.each([1, 1_000, 65_536, 3_000_001])("a value of %d bytes is stored and read back", async (bytes) => {
  const key = `/sized-${bytes}`;
  const value = valueOf(key, bytes);
  const answer = await cluster.ask("PUT", key, { body: value });
  expect(answer.status).toBe(201);
  expect(answer.headers.get("content-length")).toBe("0");
  expect((await read(key)).equals(value)).toBe(true);
});

test.each([1, 7, 1_000, 70_000])(
  "a value that comes in chunks of %d bytes is stored and read back",
  async (chunkBytes) => {
    const key = `/chunks-${chunkBytes}`;
    const value = valueOf(key, chunkBytes * 3 + 1);
    expect((await cluster.ask("PUT", key, { body: value, chunkBytes })).status).toBe(201);
    expect((await read(key)).equals(value)).toBe(true);
  },
);

test("a key that exists is never overwritten: 403, and the value stays", async () => {
  await cluster.ask("PUT", "/immutable", { body: "first" });
  const again = await cluster.ask("PUT", "/immutable", { body: "other" });
  expect(again.status).toBe(403);
  expect(again.text).toMatch(/^[^\n]{5,}\n?$/);
  expect((await read("/immutable")).toString()).toBe("first");
});

test("an empty value is refused with 411, however it is sent", async () => {
  for (const ask of [{ body: "" }, { body: "", chunkBytes: 5 }, {}]) {
    const answer = await cluster.ask("PUT", "/empty", ask);
    expect(answer.status).toBe(411);
    expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  }
  expect((await cluster.ask("GET", "/empty?list")).text).toContain('"keys":[]');
  expect((await cluster.ask("GET", "/empty?unlinked")).text).toContain('"keys":[]');
  expect((await cluster.ask("PUT", "/empty", { body: "now" })).status).toBe(201);
});

test("an unlinked key can be written again, with another value", async () => {
  await cluster.ask("PUT", "/again", { body: "old" });
  await cluster.ask("UNLINK", "/again");
  expect((await cluster.ask("PUT", "/again", { body: "new" })).status).toBe(201);
  expect((await read("/again")).toString()).toBe("new");
  const md5s = cluster.filesOf(pathOf("/again")).map((file) => file.md5);
  expect(md5s).toEqual([md5Hex("new"), md5Hex("new"), md5Hex("new")]);
  expect((await cluster.ask("GET", "/again?unlinked")).text).toContain('"keys":[]');
});

test("while a write is under way its key is not there, and other writers of it get 409", async () => {
  using wire = await halfPut(cluster.master.port, "/busy");
  expect((await cluster.ask("GET", "/busy")).status).toBe(404);
  expect((await cluster.ask("GET", "/busy?list")).text).toContain('"keys":[]');
  expect((await cluster.ask("GET", "/busy?unlinked")).text).toContain('"keys":[]');
  const rival = await cluster.ask("PUT", "/busy", { body: "rival" });
  expect(rival.status).toBe(409);
  expect(rival.text).toMatch(/^[^\n]{5,}\n?$/);
  expect((await cluster.ask("DELETE", "/busy")).status).toBe(409);
  wire.write("9");
  expect((await wire.answer()).status).toBe(201);
  expect((await read("/busy")).toString()).toBe("0123456789");
});

test("a write of one key does not hold up writes of others", async () => {
  using wire = await halfPut(cluster.master.port, "/slow");
  for (let i = 0; i < 20; i++) expect((await cluster.ask("PUT", `/quick-${i}`, { body: "quick" })).status).toBe(201);
  wire.write("9");
  expect((await wire.answer()).status).toBe(201);
});

test("a client that waits for 100-continue learns of an existing key before it sends the value", async () => {
  await cluster.ask("PUT", "/expected", { body: "first" });
  using wire = await dial(cluster.master.port);
  const headers = { Expect: "100-continue", "Content-Length": "1000000" };
  wire.write(head({ method: "PUT", target: "/expected", headers }, { close: true }));
  expect((await wire.answer()).status).toBe(403);
});

test("curl does not send all of a big value for a key that exists", async () => {
  await using folder = temporaryFolder();
  const file = join(folder.path, "big");
  writeFileSync(file, "");
  truncateSync(file, 500_000_000); // Sparse: it takes no room.
  await cluster.store("/taken");
  const curl = [
    "curl",
    "-s",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code} %{size_upload}",
    "-T",
    file,
    `${cluster.master.url}/taken`,
  ];
  const [status, sent] = (await Bun.spawn(curl, { stdout: "pipe" }).stdout.text()).split(" ");
  expect(status).toBe("403");
  expect(Number(sent)).toBeLessThan(250_000_000);
});

test.each([
  ["its key exists", "/stored", 403],
  ["its key is none", "/%zz", 400],
  ["its query is none", "/stored?other", 403],
])("a client that closes after its request sends all of a value and reads then that %s", async (_, target, status) => {
  await cluster.ask("PUT", "/stored", { body: "first" });
  using wire = await dial(cluster.master.port);
  const headers = { "Content-Length": "2000000" };
  wire.write(head({ method: "PUT", target, headers }, { close: true }));
  for (let sent = 0; sent < 2_000_000; sent += 100_000) {
    await Bun.sleep(20);
    expect(wire.closed).toBe(false);
    wire.write(new Uint8Array(100_000));
  }
  expect((await wire.answer()).status).toBe(status);
});

test("a client that closes after its request is not waited for without end", async () => {
  await cluster.ask("PUT", "/endless", { body: "first" });
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/endless", headers: { "Content-Length": "2000000" } }, { close: true }));
  const trickle = setInterval(() => wire.write("x"), 100);
  expect((await wire.answer()).status).toBe(403);
  clearInterval(trickle);
});

test("a client that waits for 100-continue learns of a write under way before it sends the value", async () => {
  using first = await halfPut(cluster.master.port, "/expected-busy");
  using second = await dial(cluster.master.port);
  const headers = { Expect: "100-continue", "Content-Length": "1000000" };
  second.write(head({ method: "PUT", target: "/expected-busy", headers }, { close: true }));
  expect((await second.answer()).status).toBe(409);
  first.write("9");
  expect((await first.answer()).status).toBe(201);
});

test("a client that waits for 100-continue may send the value of a new key", async () => {
  using wire = await dial(cluster.master.port);
  const headers = { Expect: "100-continue", "Content-Length": "3" };
  wire.write(head({ method: "PUT", target: "/welcome", headers }, { close: true }));
  wire.write("abc"); // Allowed without waiting; curl does so after a second.
  expect((await wire.answer()).status).toBe(201);
  expect((await read("/welcome")).toString()).toBe("abc");
});

test("a value that trickles in byte by byte arrives whole", async () => {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/trickle", headers: { "Content-Length": "50" } }, { close: true }));
  for (let i = 0; i < 50; i++) {
    wire.write(String(i % 10));
    await Bun.sleep(1); // Separate packets.
  }
  expect((await wire.answer()).status).toBe(201);
  expect((await read("/trickle")).toString()).toBe("0123456789".repeat(5));
});

test("curl does all of it as the documentation says", async () => {
  const url = `${cluster.master.url}/bigswag`;
  const curl = (...args: string[]) => Bun.spawn(["curl", "-s", "-L", ...args], { stdout: "pipe" }).stdout.text();
  const status = ["-w", "%{http_code}"];
  expect(await curl(...status, "-X", "PUT", "-d", "bigswag", url)).toBe("201");
  expect(await curl(url)).toBe("bigswag");
  expect(JSON.parse(await curl(`${cluster.master.url}/big?list`))).toEqual({ next: "", keys: ["/bigswag"] });
  expect(await curl(...status, "-X", "UNLINK", url)).toBe("204");
  expect(JSON.parse(await curl(`${cluster.master.url}/big?unlinked`))).toEqual({ next: "", keys: ["/bigswag"] });
  expect(await curl(...status, "-X", "DELETE", url)).toBe("204");
  expect(await curl(...status, "-X", "PUT", "-T", import.meta.path, `${cluster.master.url}/file.ts`)).toBe("201");
  expect(await curl(`${cluster.master.url}/file.ts`)).toBe(await Bun.file(import.meta.path).text());
});
