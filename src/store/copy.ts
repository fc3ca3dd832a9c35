// Owns the reading of a value from one of its volumes: to copy it to others, or to know what it is.
import { MkvError } from "../errors";
import { Upload } from "../volumes/upload";
import { type VolumeAccess, open } from "../volumes/volume";
import { replicate } from "./replicate";

/**
 * Copies a file to the same path on other volumes, with its time.
 * @param expected what is known of the value; a source that differs is corrupt, and nothing of it is stored
 * @param as path of the copies, if another
 * @throws MkvError corrupt; absent, volume-failed, timeout of the source or of a target
 */
export async function copy(
  access: VolumeAccess,
  path: string,
  {
    from,
    to,
    expected,
    as = path,
  }: {
    from: string;
    to: readonly string[];
    expected: { bytes?: number | undefined; md5?: string | undefined };
    as?: string;
  },
): Promise<void> {
  const { bytes, modified: date, chunks } = await open(access, from, path, access.stalltimeoutMs);
  const uploads = to.map((volume) => new Upload(access, volume, as, { bytes, date }));
  await replicate(chunks, uploads, {
    atLeast: to.length,
    md5: expected.md5 !== undefined,
    approve(body) {
      const isWrongLength = body.bytes === 0 || (expected.bytes !== undefined && body.bytes !== expected.bytes);
      if (isWrongLength || body.md5 !== expected.md5) throw new MkvError("corrupt", `the copy on ${from} is damaged`);
    },
  });
}

/** Reads a file at this pace and returns its MD5 in hex. Throws MkvError absent, volume-failed, timeout. */
export async function md5Of(access: VolumeAccess, volume: string, path: string, pace?: Pace): Promise<string> {
  const { chunks } = await open(access, volume, path, access.stalltimeoutMs);
  const hasher = new Bun.CryptoHasher("md5");
  for await (const chunk of chunks) {
    await pace?.(chunk.length);
    hasher.update(chunk);
  }
  return hasher.digest("hex");
}

/** Waits until so many more bytes may be read. */
export type Pace = (bytes: number) => Promise<void>;
