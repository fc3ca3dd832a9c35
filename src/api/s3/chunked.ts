// Owns the framing that AWS has of its own, within a body: chunks, each with a signature or none, and fields after the last.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
//   body  := chunk* last        chunk := hex (";chunk-signature=" sum)? CRLF bytes CRLF
//   last  := "0" (";chunk-signature=" sum)? CRLF (CRLF | field* CRLF)     fields only where they were announced
//   field := name ":" value CRLF
// Lines may end with LF alone, and blank ones may follow any field: minio-go writes them so.
// A signature covers the one before and its chunk. The bytes are handed on as they come: what is wrong with them is thrown
// before the end, and nothing counts before that.
import { S3Error } from "./errors";
import { type Signed, hashOfNothing, hmac, isEqual } from "./signature";

/** What stands after the last chunk, by names in lower case. */
export type Trailers = Map<string, string>;

export type Framing = {
  /** What its signatures begin from; undefined if it has none. */
  readonly seed: Signed | undefined;
  readonly hasTrailers: boolean;
};

/** The framing that a body has; undefined for none. Throws S3Error NotImplemented. */
export function framingOf(seed: Signed): Framing | undefined {
  const { payload } = seed;
  switch (payload) {
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
      return { seed, hasTrailers: false };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      return { seed, hasTrailers: true };
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return { seed: undefined, hasTrailers: true };
    default:
      if (payload.startsWith("STREAMING-")) throw new S3Error("NotImplemented", `${payload} is not supported`);
      return undefined;
  }
}

/** The bytes within the framing; `trailers` is filled at the end. Throws S3Error IncompleteBody, SignatureDoesNotMatch. */
export async function* unframed(
  body: AsyncIterable<Uint8Array>,
  { seed, hasTrailers }: Framing,
  trailers: Trailers,
): AsyncGenerator<Uint8Array> {
  await using reader = new Reader(body);
  const requireNext = seed && chainFrom(seed);
  for (;;) {
    const [, size, signature] =
      /^([0-9a-f]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(await reader.line()) ?? [];
    if (size === undefined || (requireNext && signature === undefined)) throw broken("a chunk does not begin as one");
    const bytes = Number.parseInt(size, 16);
    const hasher = requireNext && new Bun.CryptoHasher("sha256");
    for await (const piece of reader.take(bytes)) {
      hasher?.update(piece);
      yield piece;
    }
    if (hasher) requireNext!("AWS4-HMAC-SHA256-PAYLOAD", [hashOfNothing, hasher.digest("hex")], signature!);
    if (bytes === 0) break;
    if ((await reader.line()) !== "") throw broken("a chunk does not end where it says");
  }
  let signed = "";
  let line = await reader.line();
  for (let lines = 0; line !== "" || !(await reader.isAtEnd()); lines++, line = await reader.line()) {
    if (line === "" && hasTrailers && lines < mostLines) continue;
    const [, name, value] = /^([A-Za-z0-9-]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || !hasTrailers || lines >= mostLines)
      throw broken("what follows the last chunk is not expected");
    if (name === "x-amz-trailer-signature" && requireNext) {
      const hashed = new Bun.CryptoHasher("sha256").update(signed).digest("hex");
      requireNext("AWS4-HMAC-SHA256-TRAILER", [hashed], value!.trim());
      signed = "";
    } else {
      trailers.set(name.toLowerCase(), value!.trim());
      signed += `${name.toLowerCase()}:${value!.trim()}\n`;
    }
  }
  if (requireNext && signed !== "") throw new S3Error("SignatureDoesNotMatch", "what follows the body is not signed");
}

/** Throws S3Error unless a signature fits, which covers the one before. */
type Chain = (kind: string, hashes: readonly string[], signature: string) => void;

function chainFrom({ key, date, scope, signature: first }: Signed): Chain {
  let last = first;
  return (kind, hashes, signature) => {
    const text = [kind, date, scope, last, ...hashes].join("\n");
    last = hmac(key, text).toHex();
    if (!isEqual(signature.toLowerCase(), last))
      throw new S3Error("SignatureDoesNotMatch", "the signature of a chunk does not fit");
  };
}

const longestLine = 4096;
const mostLines = 20;

/** Bytes as they come, taken by lines and by numbers; disposing of it lets go of the rest. */
class Reader implements AsyncDisposable {
  readonly #body: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    let line = "";
    for (;;) {
      const end = this.#rest.indexOf(0x0a);
      line += Buffer.from(this.#rest.subarray(0, end < 0 ? undefined : end + 1)).toString("latin1");
      this.#rest = end < 0 ? new Uint8Array() : this.#rest.subarray(end + 1);
      if (line.length > longestLine) throw broken("a line of it is too long");
      if (end >= 0) return line.replace(/\r?\n$/, "");
      if (!(await this.#more())) throw broken("it ends too soon");
    }
  }

  async *take(bytes: number): AsyncGenerator<Uint8Array> {
    for (let left = bytes; left > 0;) {
      if (this.#rest.length === 0 && !(await this.#more())) throw broken("it ends too soon");
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#body.return?.();
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#body.next();
      if (done) return false;
      if (value.length === 0) continue;
      this.#rest = value;
      return true;
    }
  }
}

function broken(what: string): S3Error {
  return new S3Error("IncompleteBody", `the body is not framed as its x-amz-content-sha256 says: ${what}`);
}
