// Owns the reading of a value from one of its volumes: to copy it to others, or to know what it is.
import { MkvError } from "../errors";
import { leastBytesOf } from "../format/record";
import { type OpenFile } from "../volumes/read";
import { type Volumes } from "../volumes/volumes";
import { type Pace, paced } from "./pace";
import { replicate } from "./replicate";

/**
 * Copies a file to the same path on other volumes, with its time.
 * @param expected what is known of the value; a source that differs is corrupt, and nothing of it is stored
 * @param options.opened the file on `from`, if it is open already
 * @param options.sync the copies are on the disks when this resolves
 * @param options.as path of the copies, if another
 * @param options.pace how fast it may be read
 * @throws MkvError corrupt; absent, volume-failed, timeout of the source or of a target
 */
export async function copy(
  volumes: Volumes,
  path: string,
  options: {
    from: string;
    to: readonly string[];
    opened?: OpenFile | undefined;
    expected: { bytes?: number | undefined; md5?: string | undefined };
    sync?: boolean;
    as?: string;
    pace?: Pace | undefined;
  },
): Promise<void> {
  const { from, to, expected, as = path, pace } = options;
  const { bytes, modified: date, chunks } = options.opened ?? (await volumes.open(from, path));
  const value = { bytes, date, ...(options.sync && { sync: true }) };
  const uploads = to.map((volume) => volumes.upload(volume, as, value));
  await replicate(pace ? paced(chunks, pace) : chunks, uploads, {
    atLeast: to.length,
    md5: expected.md5 !== undefined,
    approve(body) {
      const isWrongLength =
        body.bytes < leastBytesOf(expected.md5) || (expected.bytes !== undefined && body.bytes !== expected.bytes);
      if (isWrongLength || body.md5 !== expected.md5) throw new MkvError("corrupt", `the copy on ${from} is damaged`);
    },
  });
}

/** Reads a file at this pace and returns its MD5 in hex. Throws MkvError absent, volume-failed, timeout. */
export async function md5Of(volumes: Volumes, volume: string, path: string, pace?: Pace): Promise<string> {
  const { chunks } = await volumes.open(volume, path);
  const hasher = new Bun.CryptoHasher("md5");
  for await (const chunk of pace ? paced(chunks, pace) : chunks) hasher.update(chunk);
  return hasher.digest("hex");
}
