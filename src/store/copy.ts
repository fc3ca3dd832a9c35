// Owns the copying of a value from one of its volumes to others, checked on the way.
import { MkvError } from "../errors";
import { Upload } from "../volumes/upload";
import { type VolumeAccess, open } from "../volumes/volume";
import { replicate } from "./replicate";

/**
 * Copies a file to the same path on other volumes, with its time; with none, only reads and checks it.
 * @param expected what is known of the value; a source that differs is corrupt, and nothing of it is stored
 * @throws MkvError corrupt; absent, volume-failed, timeout of the source or of a target
 */
export async function copy(
  access: VolumeAccess,
  path: string,
  {
    from,
    to,
    expected,
  }: { from: string; to: readonly string[]; expected: { bytes?: number; md5?: string | undefined } },
): Promise<void> {
  const file = await open(access, from, path, access.silenceMs);
  const { bytes, modified: date } = file;
  const uploads = to.map((volume) => new Upload(access, volume, path, { bytes, date }));
  await replicate(file.chunks, uploads, {
    atLeast: to.length,
    md5: expected.md5 !== undefined,
    approve(body) {
      const wrongLength = body.bytes === 0 || (expected.bytes !== undefined && body.bytes !== expected.bytes);
      if (wrongLength || body.md5 !== expected.md5) throw new MkvError("corrupt", `the copy on ${from} is damaged`);
    },
  });
}
