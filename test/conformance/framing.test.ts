// What a client may say of its body beside the bytes: whatever is not stored as it was meant is refused whole.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { startGatedCluster } from "../support/gated";
import { dial, follow } from "../support/http";
import { recordOf, writeRecords } from "../support/records";
import { until } from "../support/until";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(30_000);
withoutGrace();
const LINE = /^[^\n]{5,}\n?$/;
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** Sends these pieces one after the other on one connection; the status of the answer, if one comes. */
async function send(pieces: readonly string[]): Promise<number | undefined> {
  using wire = await dial(cluster.master.port);
  for (const piece of pieces) {
    wire.write(piece);
    await wire.drained();
  }
  return await wire.answer({ timeoutMs: 10_000 }).then(
    ({ status }) => status,
    () => undefined,
  );
}

const head = (key: string, ...lines: string[]) => [`PUT ${key} HTTP/1.1`, "Host: a", ...lines, "", ""].join("\r\n");

/** Nothing of the key is there, and it can be written. */
async function expectFree(key: string): Promise<void> {
  expect((await cluster.ask("GET", key)).status).toBe(404);
  const written = async () => (await cluster.ask("PUT", key, { body: "whole" })).status === 201;
  await until(written, { what: `${key} can be written` });
  expect((await follow(await cluster.ask("GET", key))).text).toBe("whole");
}

test.each(["bytes 0-4/10", "bytes 60000-99999/100000", "bytes */5", "nonsense"])(
  "a part of a value (Content-Range: %s) is 400, and nothing is stored",
  async (range) => {
    const key = `/part-${range.length}`;
    const answer = await cluster.ask("PUT", key, { body: "hello", headers: { "Content-Range": range } });
    expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(LINE)]);
    await expectFree(key);
  },
);

test("a chunked body that announces a trailer is 400, and nothing is stored", async () => {
  const chunked = ["Transfer-Encoding: chunked", "Trailer: X-Sum"];
  expect(await send([`${head("/announced", ...chunked)}5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`])).toBe(400);
  await expectFree("/announced");
  expect(await send([head("/announced-later", ...chunked), "5\r\nhello\r\n0\r\n", "X-Sum: 1\r\n\r\n"])).toBe(400);
  await expectFree("/announced-later");
});

test("a chunked body with a trailer that was not announced is 400, and nothing is stored", async () => {
  for (let i = 0; i < 20; i++) {
    const key = `/unannounced-${i}`;
    const body =
      i % 2 === 0 ? "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" : `${"5\r\nhello\r\n".repeat(9)}0\r\nX: 1\r\nY: 2\r\n\r\n`;
    expect(await send([head(key, "Transfer-Encoding: chunked") + body])).toBe(400);
    await expectFree(key);
  }
});

test("a trailer that comes while the volumes still take the value is 400, and nothing of it stays", async () => {
  await using gated = await startGatedCluster({ flags: ["-voltimeout", "10s"] });
  gated.gates.forEach((gate) => gate.hold("PUT", "answer"));
  using wire = await dial(gated.master.port);
  wire.write(`${head("/late", "Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n`);
  await Promise.all(gated.gates.map((gate) => gate.holds("PUT")));
  wire.write("X-Sum: 1\r\n\r\n");
  expect((await wire.answer({ timeoutMs: 10_000 })).status).toBe(400);
  gated.openAll();
  await until(() => gated.remains().length === 0, { what: "the copies are gone" });
  expect((await gated.ask("GET", "/late")).status).toBe(404);
});

test("a chunked body without a trailer is stored, however it is cut", async () => {
  const pieces = ["5\r\nhel", "lo\r\n", "0\r", "\n\r", "\n"];
  expect(await send([head("/cut", "Transfer-Encoding: chunked"), ...pieces])).toBe(201);
  expect((await follow(await cluster.ask("GET", "/cut"))).text).toBe("hello");
});

test("a length that is told twice is one length, or 400", async () => {
  const status = await send([`${head("/twice", "Content-Length: 5", "Content-Length: 5")}hello`]);
  expect([201, 400]).toContain(status!);
  if (status === 201) expect((await follow(await cluster.ask("GET", "/twice"))).text).toBe("hello");
  else await expectFree("/twice");
  expect(await send([`${head("/list", "Content-Length: 5, 6")}hello`])).toBe(400);
  expect(await send([`POST /?records HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]`])).toBe(
    200,
  );
});

const allowed: [method: string, target: string, status: number, allow: string][] = [
  ["PATCH", "/key", 405, "GET, HEAD, PUT, DELETE, UNLINK"],
  ["POST", "/key", 405, "GET, HEAD, PUT, DELETE, UNLINK"],
  ["POST", "/key?list", 405, "GET, HEAD"],
  ["PATCH", "/key?unlinked&limit=1", 405, "GET, HEAD"],
  ["OPTIONS", "/?records", 405, "GET, HEAD, POST"],
  ["PROPFIND", "/key?rebalance", 405, "POST"],
];

test.each(allowed)("%s %s is %d, and may be %s", async (method, target, status, allow) => {
  const answer = await cluster.ask(method, target);
  expect([answer.status, answer.headers.get("allow")]).toEqual([status, allow]);
  expect(answer.text).toMatch(LINE);
});

test("an operation that is not the first parameter says so", async () => {
  for (const [method, target] of [
    ["GET", "/?limit=1&list"],
    ["POST", "/key?md5&rebalance"],
  ] as const) {
    const { text } = await cluster.ask(method, target);
    expect(text).toMatch(/must be the first parameter/);
  }
});

test("a record that no header can tell is 500 with a line, and no bug", async () => {
  await cluster.master.stop();
  const odd = ["/odd-1", "/odd-2", "/odd-3", "/odd-4"];
  await writeRecords(cluster.db, [
    ["/odd-1", `${cluster.addresses[0]}/sv00é€`],
    ["/odd-2", "x\r\nSet-Cookie: a=b"],
    ["/odd-3", "\0"],
    ["/odd-4", ":80/sv00"],
  ]);
  await cluster.startMaster(["-probe", "volume"]);
  for (const key of odd) {
    const answer = await cluster.ask("GET", key);
    expect([key, answer.status, answer.headers.get("set-cookie")]).toEqual([key, 500, null]);
    expect(answer.text).toMatch(/rebuild/);
  }
  await cluster.startMaster();
  for (const key of odd) expect((await cluster.ask("GET", key)).status).toBeGreaterThanOrEqual(410);
  expect(cluster.master.output).not.toContain("a bug");
  await cluster.master.stop();
  expect(await recordOf(cluster.db, "/odd-3")).toBe("\0");
});
