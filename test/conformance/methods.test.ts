import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { dial, follow, head, raw } from "../support/http";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(30_000);
withoutGrace();
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
  await cluster.ask("PUT", "/key", { body: "value" });
});
afterAll(() => cluster[Symbol.asyncDispose]());

test.each(["PATCH", "OPTIONS", "POST", "PROPFIND", "MOVE", "COPY", "LINK"])(
  "%s is 405, with the methods that are allowed",
  async (method) => {
    for (const target of ["/key", "/absent"]) {
      const answer = await cluster.ask(method, target);
      expect(answer.status).toBe(405);
      const allowed = (answer.headers.get("allow") ?? "").split(/\s*,\s*/);
      for (const known of ["GET", "HEAD", "PUT", "DELETE", "UNLINK"]) expect(allowed).toContain(known);
      expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
    }
  },
);

test("POST does one thing, ?rebalance", async () => {
  expect((await cluster.ask("POST", "/key?other")).status).toBe(405);
  expect((await cluster.ask("POST", "/key?other&rebalance")).status).toBe(405);
});

test("a question that does not exist is 403, for a key as for a prefix", async () => {
  for (const target of ["/key?other", "/key?acl", "/absent?versions=1"]) {
    const answer = await cluster.ask("GET", target);
    expect(answer.status).toBe(403);
    expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  }
});

test("what is no HTTP is answered with an error or a closed connection, and does no harm", async () => {
  for (const bytes of [
    "nonsense\r\n\r\n",
    "GET\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    "\0\0\0\0\r\n\r\n",
  ]) {
    const status = await raw(cluster.master.port, bytes, 5_000).then(
      (answer) => answer.status,
      (error: Error) => error.message,
    );
    expect(String(status)).toMatch(/^4\d\d$|closed without/);
  }
  expect((await cluster.ask("GET", "/key")).status).toBe(302);
});

test("a request whose length can be read in two ways is refused", async () => {
  const head = "PUT /two-ways HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
  for (const lengths of [
    "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "Content-Length: +3\r\n\r\nabc",
  ]) {
    expect((await raw(cluster.master.port, head + lengths, 5_000)).status).toBe(400);
    expect((await cluster.ask("GET", "/two-ways")).status).toBe(404);
  }
});

test("raw bytes in a path are the key that their escapes would name, or are refused; never another key", async () => {
  for (const [bytes, shown] of [
    [[0xc3, 0xa9], "/raw-é"],
    [[0xff], `/raw-${String.fromCodePoint(0x10ffff)}`],
    [[0xfe], `/raw-${String.fromCodePoint(0x10fffe)}`],
  ] as const) {
    const target = Buffer.concat([Buffer.from("/raw-"), Uint8Array.from(bytes)]).toString("latin1");
    const { status } = await cluster.ask("PUT", target, { body: "x" });
    expect([201, 400]).toContain(status);
    expect(await cluster.keys("list", "/raw-")).toEqual(status === 201 ? [shown] : []);
    if (status === 201) expect((await cluster.ask("DELETE", target)).status).toBe(204);
  }
});

test("a broken percent escape in a key is 400", async () => {
  for (const target of ["/a%", "/a%2", "/a%zz"]) {
    const answer = await cluster.ask("GET", target);
    expect(answer.status).toBe(400);
    expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  }
});

test("a connection serves one request after the other", async () => {
  using wire = await dial(cluster.master.port);
  for (const [method, target, status] of [
    ["GET", "/key", 302],
    ["HEAD", "/absent", 404],
    ["PUT", "/key", 403],
    ["PATCH", "/key", 405],
    ["GET", "/?list", 200],
  ] as const) {
    wire.write(head({ method, target, ...(method === "PUT" && { body: "v" }) }, { close: false }));
    if (method === "PUT") wire.write("v");
    expect((await wire.answer({ toHead: method === "HEAD" })).status).toBe(status);
  }
});

test("what is to be done on a condition only is 501, and not done", async () => {
  await cluster.ask("PUT", "/conditional", { body: "value" });
  const conditions = [
    { "If-Match": '"x"' },
    { "If-None-Match": "*" },
    { "If-Unmodified-Since": new Date().toUTCString() },
  ];
  for (const headers of conditions) {
    for (const [method, target] of [
      ["PUT", "/conditional?replace"],
      ["DELETE", "/conditional"],
      ["UNLINK", "/conditional"],
    ] as const) {
      const { status, text } = await cluster.ask(method, target, {
        headers,
        ...(method === "PUT" && { body: "other" }),
      });
      expect([status, text]).toEqual([
        501,
        expect.stringMatching(/^if-[a-z-]+ of a write is for S3: nothing is changed\n$/),
      ]);
    }
  }
  expect((await follow(await cluster.ask("GET", "/conditional"))).text).toBe("value");
  expect((await cluster.ask("PUT", "/conditional-new", { headers: { "If-Match": "*" }, body: "x" })).status).toBe(501);
  const ifAbsent = { headers: { "If-None-Match": "*" }, body: "x" };
  expect((await cluster.ask("PUT", "/conditional-new", ifAbsent)).status).toBe(201);
  expect((await cluster.ask("PUT", "/conditional-new", ifAbsent)).status).toBe(403);
});

test("?replace takes no value: a false one is no word for a plain PUT", async () => {
  await cluster.ask("PUT", "/replaceless", { body: "value" });
  for (const query of ["replace=false", "replace=0", "replace=true"])
    expect((await cluster.ask("PUT", `/replaceless?${query}`, { body: "other" })).status).toBe(403);
  expect((await follow(await cluster.ask("GET", "/replaceless"))).text).toBe("value");
});
