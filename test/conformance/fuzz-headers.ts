// Owns the headers of odd requests that say nothing of where their bodies end.
import { type Random } from "../chaos/random";

/** Header lines; some make a PUT one that must not be stored. */
export type Extra = { lines: string[]; isOdd: boolean; isRefused: boolean };

/** Headers beside those of the framing, for a request with this value. */
export function headersOf(random: Random, value: Buffer | undefined): Extra {
  if (random.fraction() < 0.55) return { lines: [], isOdd: false, isRefused: false };
  const count = random.between(1, 3);
  const extra: Extra = { lines: [], isOdd: true, isRefused: false };
  for (let i = 0; i < count; i++) {
    const kind = random.weighted({ md5: 15, range: 8, harmless: 40, broken: 37 });
    if (kind === "md5") addMd5(random, extra, value);
    else if (kind === "range") {
      extra.lines.push(`Content-Range: ${random.pick(["bytes 0-4/10", "bytes */5", "", "x"])}`);
      extra.isRefused = true;
    } else extra.lines.push(random.pick(kind === "harmless" ? harmless : broken)());
  }
  return extra;
}

function addMd5(random: Random, extra: Extra, value: Buffer | undefined): void {
  const right = new Bun.CryptoHasher("md5").update(value ?? "").digest("hex");
  const kind = random.weighted({ hex: 3, base64: 3, wrong: 3, odd: 3 });
  if (kind === "hex") extra.lines.push(`Content-MD5: ${right.toUpperCase()}`);
  else if (kind === "base64") extra.lines.push(`Content-MD5: ${Buffer.from(right, "hex").toString("base64")}`);
  else {
    const odd = ["x", "", "a, b", "0".repeat(31), `${"0".repeat(32)} `.repeat(50)];
    extra.lines.push(`Content-MD5: ${kind === "wrong" ? "0".repeat(32) : random.pick(odd)}`);
    extra.isRefused = true;
  }
}

const harmless = [
  () => "Expect: 100-continue",
  () => "Expect: 200-ok",
  () => "Range: bytes=0-1,5-,-3",
  () => "If-None-Match: *",
  () => "Authorization: Basic !!!",
  () => `Authorization: ${"x".repeat(9_000)}`,
  () => "Connection: close",
  () =>
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13",
  () => "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
  () => "Content-Encoding: gzip",
  () => "Content-Type: multipart/form-data",
  () => `Cookie: ${"a=b; ".repeat(700)}`,
  () => "Date: yesterday",
  () => Array.from({ length: 90 }, (_, i) => `X-${i}: ${i}`).join("\r\n"),
];

const broken = [
  () => "X Y: z",
  () => ": nameless",
  () => "no colon",
  () => "X\0Y: z",
  () => "X-Nul: a\0b",
  () => "X-\u00dc: \u00e4\xff",
  () => "X-Space : a",
  () => "X-Fold: a\r\n b\r\n\tc",
  () => "X-Cr: a\rb",
  () => "X-Lf: a\nX-Other: b",
  () => Array.from({ length: 3_000 }, (_, i) => `X-${i}: ${i}`).join("\r\n"),
  () => `X-Long: ${"x".repeat(30_000)}`,
  () => `${"X".repeat(2_000)}: y`,
];
