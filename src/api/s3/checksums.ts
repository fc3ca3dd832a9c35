// Owns the sums that clients announce of a body, beside its MD5: x-amz-checksum-*, in a header or after the body.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
import { crc32 } from "node:zlib";
import { createCRC32, createCRC64 } from "hash-wasm";
import { S3Error } from "./errors";

const bytesOf = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 } as const;

/** What a sum is made by, as the header's name ends. */
export type Algorithm = keyof typeof bytesOf;

export type Checksum = { update(chunk: Uint8Array): void; digest(): Uint8Array };

/** What a sum is, in Base64. */
export type Sum = { readonly algorithm: Algorithm; readonly sum: string };

const prefix = "x-amz-checksum-";

/** The header of a sum. */
export function headerOf(algorithm: Algorithm): string {
  return prefix + algorithm;
}

/** The algorithm that a header is of; undefined if it is of none. */
export function algorithmOf(header: string): Algorithm | undefined {
  const name = header.toLowerCase();
  const algorithm = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return Object.hasOwn(bytesOf, algorithm) ? (algorithm as Algorithm) : undefined;
}

/** What the headers announce: with the sum, or that it comes after the body. Throws S3Error InvalidRequest, NotImplemented. */
export function announcedSum(headers: Headers): { algorithm: Algorithm; sum: string | undefined } | undefined {
  const trailer = headers.get("x-amz-trailer");
  const found = sumIn(headers);
  const late = trailer === null ? undefined : knownOf(trailer.trim());
  if (late && found) throw severalSums();
  const named = headers.get("x-amz-sdk-checksum-algorithm")?.toLowerCase();
  if (named && named !== (late ?? found?.algorithm))
    throw new S3Error("InvalidRequest", `x-amz-sdk-checksum-algorithm is ${named}, and no such checksum is announced`);
  if (late) return { algorithm: late, sum: undefined };
  if (found) requireSum(found.algorithm, found.sum);
  return found;
}

/** The sum in the headers, as it stands there. Throws S3Error InvalidRequest for several, NotImplemented. */
export function sumIn(headers: Headers): Sum | undefined {
  const names = [...headers.keys()].filter((name) => /^x-amz-checksum-(?!algorithm$|type$|mode$)/.test(name));
  const found = names.map((name) => ({ algorithm: knownOf(name), sum: headers.get(name)! }));
  if (found.length > 1) throw severalSums();
  return found[0];
}

/** Throws S3Error NotImplemented: a sum that cannot be compared is not passed over. */
function knownOf(name: string): Algorithm {
  const algorithm = algorithmOf(name);
  if (algorithm) return algorithm;
  throw new S3Error("NotImplemented", `${name} is not supported: the sums are ${Object.keys(bytesOf).join(", ")}`);
}

function severalSums(): S3Error {
  return new S3Error("InvalidRequest", "one checksum is expected, not several");
}

/** Throws S3Error InvalidRequest for what is no sum of this kind. */
export function requireSum(algorithm: Algorithm, sum: string): void {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(sum);
  if (isBase64 && Buffer.from(sum, "base64").length === bytesOf[algorithm]) return;
  throw new S3Error("InvalidRequest", `Value for ${headerOf(algorithm)} header is invalid.`);
}

/** A sum that is to be made; `approve` throws if it is not the one that was meant. */
export type Summing = { readonly algorithm: Algorithm; readonly approve?: ((sum: Sum) => void) | undefined };

/** Passes chunks on; before the end it throws what `approve` throws, after it `sum` is known. */
export function summed(
  chunks: AsyncIterable<Uint8Array>,
  summing: Summing | undefined,
): { chunks: AsyncIterable<Uint8Array>; sum: () => Sum | undefined } {
  if (!summing) return { chunks, sum: () => undefined };
  const { algorithm, approve } = summing;
  let sum: Sum | undefined;
  async function* passed(): AsyncGenerator<Uint8Array> {
    const checksum = await newChecksum(algorithm);
    for await (const chunk of chunks) {
      checksum.update(chunk);
      yield chunk;
    }
    sum = { algorithm, sum: checksum.digest().toBase64() };
    approve?.(sum);
  }
  return { chunks: passed(), sum: () => sum };
}

/** Throws S3Error BadDigest if this sum is not the one that was announced. */
export function requireSame(value: string, { algorithm, sum }: Sum): void {
  if (sum !== value) throw new S3Error("BadDigest", `the ${headerOf(algorithm)} is ${value}, not ${sum}`);
}

/** The algorithm that a client wants, by its name. Throws S3Error NotImplemented. */
export function algorithmNamed(name: string | undefined): Algorithm | undefined {
  return name === undefined ? undefined : knownOf(prefix + name);
}

/** Begins a sum. */
export async function newChecksum(algorithm: Algorithm): Promise<Checksum> {
  if (algorithm === "sha1" || algorithm === "sha256") {
    const hasher = new Bun.CryptoHasher(algorithm);
    return { update: (chunk) => void hasher.update(chunk), digest: () => hasher.digest() };
  }
  if (algorithm === "crc32") {
    let sum = 0;
    const bytes = () => Buffer.from(sum.toString(16).padStart(8, "0"), "hex");
    return { update: (chunk) => void (sum = crc32(chunk, sum)), digest: bytes };
  }
  const hasher = await (algorithm === "crc32c" ? createCRC32(0x82f63b78) : createCRC64("9a6c9329ac4bc9b5"));
  hasher.init();
  return { update: (chunk) => void hasher.update(chunk), digest: () => hasher.digest("binary") };
}
