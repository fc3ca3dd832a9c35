import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { pathOf } from "../support/placement";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(30_000);
const value = valueOf("checksum", 100_000);
const hex = md5Hex(value);
const base64 = Buffer.from(hex, "hex").toString("base64");
const wrong = md5Hex("something else");

const refused: [string, string][] = [
  ["wrong, in Base64", Buffer.from(wrong, "hex").toString("base64")],
  ["wrong, in hex", wrong],
  ["not a hash", "nonsense"],
  ["too short", hex.slice(2)],
  ["too long", `${hex}00`],
  ["Base64 of too few bytes", Buffer.alloc(15).toString("base64")],
  ["not Base64", `!${base64.slice(1)}`],
];

describe.each(["true", "false"])("with -md5sum=%s", (md5sum) => {
  let cluster: Cluster;
  beforeAll(async () => void (cluster = await startCluster({ flags: [`-md5sum=${md5sum}`] })));
  afterAll(() => cluster[Symbol.asyncDispose]());

  const put = (key: string, md5: string, chunkBytes?: number) =>
    cluster.ask("PUT", key, { body: value, chunkBytes, headers: { "Content-MD5": md5 } });

  test.each([base64, hex, hex.toUpperCase()])("a value that matches its Content-MD5 %s is stored", async (md5) => {
    const key = `/good-${md5.replaceAll(/\W/g, "")}`;
    expect((await put(key, md5)).status).toBe(201);
    expect(cluster.filesOf(pathOf(key)).map((file) => file.md5)).toEqual([hex, hex, hex]);
  });

  test.each(refused)("a Content-MD5 that is %s gives 400, and nothing is stored", async (name, md5) => {
    const key = `/refused-${name.replaceAll(/\W+/g, "-")}`;
    for (const chunkBytes of [undefined, 10_000]) {
      const answer = await put(key, md5, chunkBytes);
      expect(answer.status).toBe(400);
      expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
      expect((await cluster.ask("GET", key)).status).toBe(404);
      expect(cluster.filesOf(pathOf(key))).toEqual([]);
    }
    expect((await put(key, base64)).status).toBe(201);
  });

  test("the answer to a GET carries the hash only if it was computed", async () => {
    await cluster.ask("PUT", "/hashed", { body: value });
    const answer = await cluster.ask("GET", "/hashed");
    expect([answer.status, answer.headers.get("content-md5")]).toEqual([302, md5sum === "true" ? hex : null]);
  });

  test("a refused value for an unlinked key never shows, and never mixes with the old one", async () => {
    await cluster.ask("PUT", "/was", { body: "old" });
    await cluster.ask("UNLINK", "/was");
    expect((await put("/was", wrong)).status).toBe(400);
    expect((await cluster.ask("GET", "/was")).status).toBe(404);
    expect(await cluster.keys("unlinked", "/was")).toEqual(["/was"]);
    for (const file of cluster.filesOf(pathOf("/was"))) expect(file.md5).toBe(md5Hex("old"));
    expect((await cluster.ask("DELETE", "/was")).status).toBe(204);
    expect(cluster.filesOf(pathOf("/was"))).toEqual([]);
  });
});
