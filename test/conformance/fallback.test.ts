import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { targetOf } from "../support/values";

setDefaultTimeout(30_000);
const elsewhere = "elsewhere.example:8080";
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster({ flags: ["-fallback", elsewhere] })));
afterAll(() => cluster[Symbol.asyncDispose]());

/** The bytes that the fallback server will take as the key. */
async function askedThere(method: string, target: string): Promise<Buffer> {
  const answer = await cluster.ask(method, target);
  expect(answer.status).toBe(302);
  expect(answer.body.length).toBe(0);
  const location = answer.headers.get("location")!;
  expect(location).toMatch(/^http:\/\/elsewhere\.example:8080\/[!-~]*$/);
  const path = location.slice(`http://${elsewhere}`.length);
  expect(path).not.toMatch(/[?#"<>\\^`{|}]/);
  return Buffer.from(
    path.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  );
}

const keys: [string, string | Uint8Array][] = [
  ["a plain key", "/dir/absent.txt"],
  ["blanks and percent signs", "/a b/100%/%20"],
  ["question mark and number sign", "/what?/#1"],
  ["non-ASCII", "/ünï/日本"],
  ["line breaks", "/a\r\nSet-Cookie: x"],
  ["bytes that are not UTF-8", Uint8Array.of(0x2f, 0xff, 0x00, 0xc3)],
];

test.each(keys)("an absent key with %s is looked for at the fallback under the same name", async (_, key) => {
  for (const method of ["GET", "HEAD"])
    expect(await askedThere(method, targetOf(key))).toEqual(Buffer.from(key as string));
});

test("an unlinked key is looked for at the fallback, a live one is not", async () => {
  await cluster.ask("PUT", "/here", { body: "here" });
  expect((await cluster.ask("GET", "/here")).headers.get("location")).toContain("http://localhost:");
  await cluster.ask("UNLINK", "/here");
  expect((await askedThere("GET", "/here")).toString()).toBe("/here");
});

test("only reading falls back", async () => {
  for (const method of ["DELETE", "UNLINK"]) expect((await cluster.ask(method, "/absent")).status).toBe(404);
});
