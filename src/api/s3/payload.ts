// Owns the body of a request: what it says of itself, its bytes, and the proof that they are those that were meant.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { s3Limits } from "../../s3-limits";
import { type Incoming } from "../../store/transfer";
import { type Receiving, announcedBytes, chunksOf } from "../body";
import { type Algorithm, type Sum, type Summing } from "./checksums";
import { announcedSum, headerOf, requireSame, requireSum, summed } from "./checksums";
import { type Trailers, framingOf, unframed } from "./chunked";
import { S3Error, badArgument } from "./errors";
import { type S3Request } from "./request";
import { type Signed } from "./signature";

/** A body on its way in. `chunks` throw what is wrong with it, before their end. */
export type Payload = Pick<Incoming, "chunks" | "bytes" | "md5" | "withdrawn"> & {
  /** Whether the signature of the request covers its bytes. */
  readonly isSigned?: boolean;
  /** Once all has come: the sum that was asked for. */
  sum(): Sum | undefined;
};

/** A request whose sender is known, with its body still to come, and the sum that it is to have if none is announced. */
export type Asked = S3Request & { readonly payload: (algorithm?: Algorithm) => Payload };

/** A body of our own, of which nothing is announced but its length. */
export function payloadFrom(chunks: AsyncIterable<Uint8Array>, bytes: number, summing?: Summing): Payload {
  return { ...summed(chunks, summing), bytes, md5: undefined };
}

/**
 * The body of a request.
 * @param options.algorithm of the sum that there has to be
 * @throws S3Error InvalidDigest, InvalidRequest, MissingContentLength, NotImplemented
 */
export function payloadOf(
  asked: S3Request,
  signed: Signed,
  { algorithm, ...receiving }: Receiving & { algorithm: Algorithm | undefined },
): Payload {
  const { request, header } = asked;
  if (header("content-range") !== undefined)
    throw new S3Error("NotImplemented", "a body is taken whole: Content-Range is not supported");
  const framing = framingOf(signed);
  const wire = announcedBytes(request);
  const decoded = header("x-amz-decoded-content-length");
  const bytes = framing ? decodedBytes(decoded) : wire;
  if (decoded !== undefined && decoded !== String(bytes))
    throw new S3Error(
      "InvalidRequest",
      "x-amz-decoded-content-length is of a body in chunks, which an x-amz-content-sha256 of STREAMING-... announces",
    );
  const hash = hashOf(signed.payload, framing !== undefined);
  const isEndOfUpload = request.method === "POST" && asked.query("uploadId") !== undefined;
  const announced = isEndOfUpload ? undefined : announcedSum(request.headers); // There it is the sum of the object.
  if (algorithm && announced && announced.algorithm !== algorithm)
    throw new S3Error("InvalidRequest", `the upload has sums by ${algorithm}, not by ${announced.algorithm}`);
  const withdrawn = wire === undefined ? request.signal : undefined;
  const body: ReadableStream<Uint8Array> = request.body ?? new Blob().stream();
  const trailers: Trailers = new Map();
  const raw = chunksOf(body, { ...receiving, withdrawn });
  const plain = framing ? unframed(raw, framing, trailers) : raw;
  async function* checked(): AsyncGenerator<Uint8Array> {
    const hasher = hash === undefined ? undefined : new Bun.CryptoHasher("sha256");
    let count = 0;
    for await (const chunk of plain) {
      hasher?.update(chunk);
      count += chunk.length;
      if (bytes !== undefined && count > bytes)
        throw new S3Error("IncompleteBody", `the body has more than the announced ${bytes} bytes`);
      yield chunk;
    }
    if (bytes !== undefined && count !== bytes)
      throw new S3Error("IncompleteBody", `the body has ${count} bytes, not the announced ${bytes}`);
    if (hasher && hasher.digest("hex") !== hash)
      throw new S3Error("XAmzContentSHA256Mismatch", "x-amz-content-sha256 is not the SHA256 of the body");
    const late = announced && headerOf(announced.algorithm);
    for (const name of trailers.keys())
      if (name.startsWith("x-amz-checksum-") && name !== late)
        throw new S3Error("InvalidRequest", `${name} follows the body, and x-amz-trailer does not announce it`);
  }
  const approve = (sum: Sum) => requireAnnounced(sum, announced?.sum ?? trailers.get(headerOf(sum.algorithm)));
  const summing = announced ? { ...announced, approve } : algorithm && { algorithm };
  const isSigned = hash !== undefined || framing?.seed !== undefined;
  return { ...summed(checked(), summing), bytes, md5: md5In(header("content-md5")), withdrawn, isSigned };
}

let wholesBytes = 0;

/**
 * Waits until all of a body has come, if it is not long, and there is room: whoever sends it slowly keeps nobody from its key.
 * Disposing of it gives the room back. Throws what is wrong with it.
 */
export async function comeIn(payload: Payload): Promise<Payload & Disposable> {
  const { bytes = Number.POSITIVE_INFINITY, chunks } = payload;
  if (bytes > s3Limits.wholeBytes || wholesBytes + bytes > s3Limits.wholesBytes)
    return { ...payload, [Symbol.dispose]() {} };
  wholesBytes += bytes;
  using room = new DisposableStack();
  room.defer(() => void (wholesBytes -= bytes));
  const whole = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  for await (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  const held = room.move();
  return { ...payload, chunks: piecesOf(whole), [Symbol.dispose]: () => held.dispose() };
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += limits.gatheredBytes) yield bytes.subarray(at, at + limits.gatheredBytes);
}

function requireAnnounced({ algorithm, sum }: Sum, meant: string | undefined): void {
  if (meant === undefined)
    throw new S3Error("InvalidRequest", `${headerOf(algorithm)} was announced, and has not come`);
  requireSum(algorithm, meant);
  requireSame(sum, { algorithm, sum: meant });
}

function decodedBytes(text: string | undefined): number {
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw new S3Error("MissingContentLength", "a body in chunks needs x-amz-decoded-content-length");
}

/** The SHA256 that a body must have; undefined if nothing is said. */
function hashOf(payload: string, isFramed: boolean): string | undefined {
  if (isFramed || payload === "UNSIGNED-PAYLOAD") return undefined;
  if (/^[0-9a-f]{64}$/.test(payload)) return payload;
  const name = "x-amz-content-sha256";
  throw badArgument(name, payload, `${name} must be UNSIGNED-PAYLOAD, a SHA256, or the name of a framing`);
}

function md5In(base64: string | undefined): string | undefined {
  if (base64 === undefined) return undefined;
  if (/^[A-Za-z0-9+/]{22}==$/.test(base64)) return Buffer.from(base64, "base64").toString("hex");
  throw new S3Error("InvalidDigest", "Content-MD5 is not the Base64 of 16 bytes", { "Content-MD5": base64 });
}

/** The failure of a PUT, where a Content-MD5 was announced that the body does not have. */
export function asDigest(error: unknown, { md5 }: Payload): unknown {
  const isMd5 =
    md5 !== undefined && error instanceof MkvError && !(error instanceof S3Error) && error.code === "bad-request";
  return isMd5 ? new S3Error("BadDigest", error.message) : error;
}
