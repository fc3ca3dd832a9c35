// Owns a cluster whose master speaks S3, and clients of it.
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { S3Client } from "bun";
import { type Cluster, type ClusterOptions, startCluster } from "./cluster";
import { temporaryFolder } from "./folder";
import { holding } from "./holding";
import { freePort } from "./ports";

export const accessKeyId = "AKTEST";
export const secretAccessKey = "a-secret-of-the-tests";

export interface S3Cluster extends AsyncDisposable {
  cluster: Cluster;
  port: number;
  /** As `http://127.0.0.1:9000`. */
  endpoint: string;
  /** The file of -s3keys. */
  keys: string;
  /** Bun's client of this bucket, which need not exist. */
  client(bucket: string, credentials?: { accessKeyId: string; secretAccessKey: string }): S3Client;
}

/** What a master with an S3 port is told, with the file of its keys in this folder. */
export async function s3Flags(folder: string): Promise<{ keys: string; port: number; flags: string[] }> {
  const keys = join(folder, "s3.keys");
  writeFileSync(keys, `# of the tests\n${accessKeyId}:${secretAccessKey}\n`);
  chmodSync(keys, 0o600);
  const port = await freePort();
  return { keys, port, flags: ["-s3port", String(port), "-s3keys", keys] };
}

/** What the failure is called that this text of an answer tells of. */
export function codeIn(text: string): string | undefined {
  return /<Code>(\w+)<\/Code>/.exec(text)?.[1];
}

/** Three volumes and a master with an S3 port on two threads, unless the options say otherwise. */
export async function startS3({ flags = [], ...options }: ClusterOptions = {}): Promise<S3Cluster> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const { keys, port, flags: s3 } = await s3Flags(folder.path);
    const threads = flags.includes("-threads") ? [] : ["-threads", "2"];
    const cluster = held.use(await startCluster({ ...options, flags: [...s3, ...threads, ...flags] }));
    const endpoint = `http://127.0.0.1:${port}`;
    return {
      ...{ cluster, port, endpoint, keys },
      client: (bucket, credentials = { accessKeyId, secretAccessKey }) =>
        new S3Client({ ...credentials, bucket, endpoint, region: "us-east-1" }),
      [Symbol.asyncDispose]: () => held.disposeAsync(),
    };
  });
}
