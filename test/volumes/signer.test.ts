// What a master signs: once for a question and its redirect, by the volume's clock, for as long as it says.
import { expect, spyOn, test } from "bun:test";
import { createHash } from "node:crypto";
import { nowMs } from "../../src/clock";
import { Health } from "../../src/volumes/health";
import { type LinkSettings, Signer } from "../../src/volumes/signer";

const topology = { volumes: ["a:1"], replicas: 1, subvolumes: 1 };
const key = { secret: "s".repeat(32), name: "cafe0123" };
const ttlMs = 3_600_000;
const FAR_MS = 1_800_000_000_000; // What its clock is ahead of one that begins with the process.
const uri = "/sv00/ab/cd/L3g=";

function signer(link: LinkSettings | "no key" = { key, ttlMs }) {
  const health = new Health(topology, Health.share(topology));
  health.setClock("a:1", { leastMs: FAR_MS, mostMs: FAR_MS + 1000 });
  return { health, signer: new Signer(health, link === "no key" ? undefined : link) };
}

const sum = (text: string) => createHash("md5").update(text, "latin1").digest("base64url");
const untilOf = (text: string) => Number(/until[=:] ?(\d+)/i.exec(text)![1]);

test("a question and the redirect that follows it are one MD5", () => {
  const { signer: one } = signer();
  const md5 = spyOn(Bun.MD5, "hash");
  try {
    const question = one.lines("a:1", "HEAD", uri);
    const link = one.link("a:1", uri);
    const until = untilOf(link);
    const expected = sum(`${key.secret} ${until} GET ${uri}  ${key.secret}`);
    expect(link).toBe(`?until=${until}&sum=${expected}&key=${key.name}`);
    expect(question).toBe(`Mkv-Until: ${until}\r\nMkv-Sum: ${expected}\r\nMkv-Key: ${key.name}\r\n`);
    expect(md5).toHaveBeenCalledTimes(1);
  } finally {
    md5.mockRestore();
  }
});

test("a link follows the volume's clock when that is set", () => {
  const { health, signer: one } = signer();
  const before = untilOf(one.link("a:1", uri));
  for (const offsetMs of [7_200_000, -7_200_000]) {
    health.setClock("a:1", { leastMs: FAR_MS + offsetMs, mostMs: FAR_MS + offsetMs + 1000 });
    expect(Math.abs(untilOf(one.link("a:1", uri)) - before - offsetMs / 1000)).toBeLessThanOrEqual(1);
  }
});

test("what is signed of a path with escapes is what the volume makes of them", () => {
  const { signer: one } = signer();
  const lines = one.lines("a:1", "GET", "/sv00/f%fc%20r/");
  expect(lines).toContain(sum(`${key.secret} ${untilOf(lines)} GET /sv00/f\xfc r/  ${key.secret}`));
});

test("without a key only changes are signed, and with one a volume that tells no time is told this machine's", () => {
  const { signer: plain } = signer("no key");
  expect([plain.lines("a:1", "HEAD", uri), plain.link("a:1", uri)]).toEqual(["", ""]);
  expect(plain.change("a:1", "PUT", uri)).toMatch(/^Mkv-Until: \d+\r\nMkv-Sum: [\w-]{22}\r\n$/);
  expect(plain.change("unknown:1", "PUT", uri)).toBe("");
  const until = untilOf(signer().signer.change("unknown:1", "PUT", uri));
  expect(Math.abs(until - Date.now() / 1000 - 5)).toBeLessThan(2);
});

test("a change under a lease may not begin after it, whenever it is sent", () => {
  const { signer: plain } = signer("no key");
  const untilMs = nowMs() + 2500;
  const until = untilOf(plain.change("a:1", "PUT", uri, untilMs));
  expect(until).toBe(Math.floor((untilMs + FAR_MS) / 1000));
  const far = untilOf(plain.change("a:1", "PUT", uri, untilMs + 3_600_000));
  expect(far).toBeLessThanOrEqual(Math.floor((nowMs() + FAR_MS) / 1000) + 6);
});
