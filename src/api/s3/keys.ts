// Owns the keys of those who may ask: their secrets, and the keys that requests are signed with.
import { S3Error } from "./errors";

/** Access keys with their secrets. */
export class Keys {
  #secrets: ReadonlyMap<string, string>;
  readonly #derived = new Map<string, Uint8Array>();

  constructor(secrets: ReadonlyMap<string, string>) {
    this.#secrets = secrets;
  }

  /** From now on these count, and no others. */
  replace(secrets: ReadonlyMap<string, string>): void {
    this.#secrets = secrets;
    this.#derived.clear();
  }

  /**
   * What a request of this day is signed with.
   * @param scope `DAY/REGION/s3/aws4_request`
   * @throws S3Error InvalidAccessKeyId
   */
  signingKey(accessKey: string, scope: string): Uint8Array {
    const secret = this.#secrets.get(accessKey);
    if (secret === undefined) throw new S3Error("InvalidAccessKeyId", `there is no access key ${accessKey}`);
    const name = `${accessKey} ${scope}`;
    let key = this.#derived.get(name);
    if (key) return key;
    key = Buffer.from(`AWS4${secret}`);
    for (const part of scope.split("/")) key = hmac(key, part);
    if (this.#derived.size >= 100) this.#derived.clear();
    this.#derived.set(name, key);
    return key;
  }
}

/** HMAC-SHA256. */
export function hmac(key: Uint8Array, text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256", key).update(text).digest();
}
