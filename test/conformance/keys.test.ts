import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { follow } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { md5Hex, targetOf } from "../support/values";

setDefaultTimeout(30_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

const bytes = (...tail: number[]) => Buffer.concat([Buffer.from("/"), Uint8Array.from(tail)]);

/** A key of so many bytes in all. */
const long = (length: number) => Buffer.from(`/${"long-".repeat(300)}`.slice(0, length));

// The name; the key; how it shows in a list, where that is not the key itself; another way to ask for it.
const keys: [name: string, key: string | Uint8Array, shown?: string, alias?: string][] = [
  ["with non-ASCII letters", "/foo/é/日本語/😀"],
  ["whose Base64 holds a slash", "/foo/é"],
  ["whose Base64 ends in a slash", "/??"],
  ["whose Base64 holds two slashes in a row", bytes(0xff, 0xff), "/\u{10ffff}\u{10ffff}"],
  ["whose Base64 is all slashes at its end", bytes(0xff, 0xff, 0xff, 0xff, 0xff), `/${"\u{10ffff}".repeat(5)}`],
  ["with a slash that was sent as %2F", "/enc/oded", "/enc/oded", "/enc%2Foded"],
  ["with empty parts", "/a//b///c"],
  ["that begins with two slashes", "//a"],
  ["that ends in a slash", "/folder/"],
  ["that is just the slash", "/"],
  ["with blanks", "/with some blanks "],
  ["with a plus sign", "/a+b", "/a+b", "/a+b"],
  ["with a question mark", "/what?list"],
  ["with a number sign, ampersand and equals sign", "/#a&b=c"],
  ["with a percent sign", "/100%/%41"],
  ["with a zero byte", "/zero\0byte"],
  ["with line breaks", "/line\r\nbreak\n"],
  ["with a backslash", "/back\\slash"],
  ["with quotes and angle brackets", `/"'<>\`{}|^[]`],
  ["with a colon and an at sign", "/user:pass@host", "/user:pass@host", "/user:pass@host"],
  ["with dots in its names", "/.hidden/...three/a.b"],
  ["of bytes that are not UTF-8", bytes(0xc3, 0x28, 0x80), "/\u{10ffc3}(\u{10ff80}"],
  ["of 189 bytes, the Go program's longest", long(189)],
  ["of 190 bytes", long(190)],
  ["of 381 bytes, two full names", long(381)],
  ["of 1,023 bytes", long(1_023)],
  ["of 1,024 bytes, the longest", long(1_024)],
  ["of 1,024 bytes that are all 0xFF", bytes(...Array(1_023).fill(0xff)), `/${"\u{10ffff}".repeat(1_023)}`],
];

test.each(keys)(
  "a key %s is stored, found, listed and deleted",
  async (_, key, shown = String(key), alias = targetOf(key)) => {
    const value = `value of ${Buffer.from(key as string).toString("hex")}`;
    expect((await cluster.ask("PUT", alias, { body: value })).status).toBe(201);

    const path = pathOf(key);
    expect(cluster.filesOf(path).map((file) => file.md5)).toEqual(Array(3).fill(md5Hex(value)));

    const answer = await cluster.ask("GET", targetOf(key));
    expect(answer.status).toBe(302);
    expect(answer.headers.get("key-volumes")).toBe(placedOn(key, { volumes: cluster.addresses }).join(","));
    expect(answer.headers.get("location")).toEndWith(path);
    expect((await follow(answer)).text).toBe(value);

    expect(JSON.parse((await cluster.ask("GET", "/?list")).text)).toEqual({ next: "", keys: [shown] });
    expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
    expect(JSON.parse((await cluster.ask("GET", "/?unlinked")).text)).toEqual({ next: "", keys: [shown] });

    expect((await cluster.ask("DELETE", targetOf(key))).status).toBe(204);
    expect(cluster.filesOf(path)).toEqual([]);
  },
);

test("keys that differ only in how they could be read as a path are different keys", async () => {
  const targets = ["/same", "/same/", "//same", "/Same", "/same%20", "/same%00", "/same+", "/%73ame%2F%2F"];
  for (const target of targets) expect((await cluster.ask("PUT", target, { body: target })).status).toBe(201);
  for (const target of targets) expect((await follow(await cluster.ask("GET", target))).text).toBe(target);
  for (const target of targets) expect((await cluster.ask("DELETE", target)).status).toBe(204);
});

test.each(["PUT", "GET", "HEAD", "DELETE", "UNLINK"])("%s of a key of 1,025 bytes is 414", async (method) => {
  const answer = await cluster.ask(method, targetOf(long(1_025)), method === "PUT" ? { body: "x" } : {});
  expect(answer.status).toBe(414);
  if (method !== "HEAD") expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
});

test("curl follows the redirect of an odd key", async () => {
  for (const key of ["/foo/é", "/??", "/a b//c+d", "/ÿÿ"]) {
    expect((await cluster.ask("PUT", targetOf(key), { body: key })).status).toBe(201);
    const curl = Bun.spawn(["curl", "-s", "-L", cluster.master.url + targetOf(key)], { stdout: "pipe" });
    expect(await curl.stdout.text()).toBe(key);
    expect((await cluster.ask("DELETE", targetOf(key))).status).toBe(204);
  }
});
