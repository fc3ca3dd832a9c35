// Owns what is remembered of buckets, which are the first segments of keys: that one was made, and when.
//   "bucket " name -> Bucket               in the ledger's memory
import { entriesOf } from "../ledger/ledger";
import { type Store } from "./store";

/** Under which name a bucket is remembered. */
export const bucketPrefix = "bucket ";

type Bucket = { readonly createdMs: number };

export async function rememberBucket({ ledger }: Store, name: string): Promise<void> {
  await ledger.memory.put(bucketPrefix + name, { createdMs: Date.now() } satisfies Bucket);
}

export async function forgetBucket({ ledger }: Store, name: string): Promise<void> {
  await ledger.memory.delete(bucketPrefix + name);
}

/** Whether a bucket is remembered. */
export async function isRemembered({ ledger }: Store, name: string): Promise<boolean> {
  return (await ledger.memory.get(bucketPrefix + name)) !== undefined;
}

/** All buckets that are remembered, with the time at which they were made, in milliseconds of the wall. */
export async function* rememberedBuckets({
  ledger,
}: Store): AsyncGenerator<readonly [name: string, createdMs: number]> {
  for await (const [name, value] of entriesOf(ledger.memory, bucketPrefix))
    yield [name.slice(bucketPrefix.length), (value as Bucket).createdMs];
}
