// Owns the proof of values that are read to be stored again: a copy that has rotted must not become the value of another key,
// with an MD5 that says that it is good. What does not have its recorded MD5 breaks off before its end, so that nothing is
// stored; the key is to be healed, and the work begins anew with the other copies.
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { s3Limits } from "../s3-limits";
import { type Store } from "./store";

/** The volumes whose copies have turned out to be none, by the key in hex. */
export type BadCopies = Map<string, readonly string[]>;

class BadCopy extends MkvError {}

/**
 * Does what reads values to store them again, anew where a copy was not what was recorded.
 * @throws MkvError corrupt if that goes on; what `work` throws
 */
export async function fromGoodCopies<T>(work: (bad: BadCopies) => Promise<T>): Promise<T> {
  const bad: BadCopies = new Map();
  for (let tries = 1; ; tries++) {
    try {
      return await work(bad);
    } catch (error) {
      if (!(error instanceof BadCopy) || tries === s3Limits.readTries) throw error;
    }
  }
}

/**
 * The bytes of a whole value, which come to their end only if they have this MD5.
 * @param reading.from the volumes that they came from, once they have come
 */
export async function* proven(
  { hints }: Pick<Store, "hints">,
  key: Key,
  reading: { chunks: AsyncIterable<Uint8Array>; md5: string; from: () => readonly string[]; bad: BadCopies },
): AsyncGenerator<Uint8Array> {
  const hasher = new Bun.CryptoHasher("md5");
  for await (const chunk of reading.chunks) {
    hasher.update(chunk);
    yield chunk;
  }
  if (hasher.digest("hex") === reading.md5) return;
  const [name, from] = [key.toHex(), reading.from()];
  reading.bad.set(name, [...(reading.bad.get(name) ?? []), ...from]);
  await hints.add(key, { why: "damaged" });
  throw new BadCopy("corrupt", `the copy of ${JSON.stringify(showKey(key))} on ${from.join(", ")} is damaged`);
}
