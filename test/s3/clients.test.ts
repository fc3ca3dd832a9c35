// The S3 port through the eyes of real clients, each as its users use it: all of them at once, on one store.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { Client as Minio } from "minio";
import { bigValue } from "../support/big";
import { type Folder, temporaryFolder } from "../support/folder";
import { type S3Cluster, accessKeyId, secretAccessKey, startS3 } from "../support/s3";

setDefaultTimeout(180_000);
const PART_BYTES = 5 * 1024 * 1024;
const names = ["a b+c.txt", "sub/ü&'(1)*.txt", "sub/deeper/%41.txt", "empty"];
const big = bigValue("client", 20_000_000);
let s3: S3Cluster;
let folder: Folder;

beforeAll(async () => {
  s3 = await startS3();
  folder = temporaryFolder();
  for (const name of names) {
    const file = at("tree", name);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, name === "empty" ? "" : `content of ${name}`);
  }
  writeFileSync(at("big"), big);
});
afterAll(async () => {
  await s3[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const at = (...names: string[]) => join(folder.path, ...names);

/** What a program says; it must end well. */
async function run(command: string[], env: Record<string, string> = {}): Promise<string> {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^AWS_|_proxy$/i.test(name)));
  const keys = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: "us-east-1",
  };
  const home = { HOME: folder.path, AWS_PAGER: "" };
  const child = Bun.spawn(command, { env: { ...clean, ...keys, ...home, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${exitCode}\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** A test with a program of this system, where it is installed. */
function withProgram(program: string, what: string, body: () => Promise<void>): void {
  if (existsSync(program)) test.concurrent(what, body);
  else console.log(`skipped: ${what} (${program} is not installed)`);
}

function expectTree(...path: string[]): void {
  for (const name of names) expect(readFileSync(at(...path, name))).toEqual(readFileSync(at("tree", name)));
}

withProgram("/usr/bin/aws", "awscli: sync twice, 20 MB in parts, what is deleted", async () => {
  const aws = (...words: string[]) => run(["/usr/bin/aws", "--endpoint-url", s3.endpoint, ...words]);
  await aws("s3", "mb", "s3://awscli");
  expect((await aws("s3", "sync", "--no-progress", at("tree"), "s3://awscli/tree")).match(/upload:/g)?.length).toBe(4);
  expect(await aws("s3", "sync", at("tree"), "s3://awscli/tree")).toBe("");
  await aws("s3", "sync", "s3://awscli/tree", at("aws tree"));
  expectTree("aws tree");
  await aws("s3", "cp", "--content-type", "text/x", "--metadata", "k=v", at("big"), "s3://awscli/big");
  await aws("s3", "cp", "s3://awscli/big", at("aws-big"));
  expect(readFileSync(at("aws-big")).equals(big)).toBe(true);
  const head = JSON.parse(await aws("s3api", "head-object", "--bucket", "awscli", "--key", "big"));
  expect(head).toMatchObject({ ContentLength: big.length, ContentType: "text/x", Metadata: { k: "v" } });
  expect((await aws("s3", "rm", "--recursive", "s3://awscli")).match(/delete:/g)?.length).toBe(5);
});

const python = `
import boto3, io, os, sys
from botocore.exceptions import ClientError
endpoint = sys.argv[1]
s3 = boto3.client("s3", endpoint_url=endpoint)
s3.create_bucket(Bucket="boto")
s3.put_object(Bucket="boto", Key="k ü+", Body=b"bytes", ContentType="text/x", Metadata={"a": "1"})
got = s3.get_object(Bucket="boto", Key="k ü+")
assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"bytes", "text/x", {"a": "1"}), got
assert s3.get_object(Bucket="boto", Key="k ü+", Range="bytes=1-2")["Body"].read() == b"yt"
s3.upload_file(sys.argv[2], "boto", "big")
s3.download_file("boto", "big", sys.argv[3])
parts = [s3.get_object(Bucket="boto", Key="big", PartNumber=1 + i) for i in range(3)]
assert [part["PartsCount"] for part in parts] == [3, 3, 3], parts
assert b"".join(part["Body"].read() for part in parts) == open(sys.argv[2], "rb").read()
for i in range(25): s3.put_object(Bucket="boto", Key=f"many/{i}", Body=b"x")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="boto", Prefix="many/", PaginationConfig={"PageSize": 7})
assert sum(len(page["Contents"]) for page in pages) == 25
assert [p["Prefix"] for p in s3.list_objects_v2(Bucket="boto", Delimiter="/")["CommonPrefixes"]] == ["many/"]
s3.copy_object(Bucket="boto", Key="copy", CopySource={"Bucket": "boto", "Key": "k ü+"})
assert s3.head_object(Bucket="boto", Key="copy")["Metadata"] == {"a": "1"}
done = s3.delete_objects(Bucket="boto", Delete={"Objects": [{"Key": f"many/{i}"} for i in range(25)]})
assert len(done["Deleted"]) == 25, done
for key, wanted in ((os.environ["AWS_ACCESS_KEY_ID"], "SignatureDoesNotMatch"), ("NOBODY", "InvalidAccessKeyId")):
    other = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key="wrong-secret")
    try: other.list_buckets(); raise Exception("was let in")
    except ClientError as error: assert error.response["Error"]["Code"] == wanted, error
print("all well")
`;

withProgram("/usr/bin/python3", "boto3: round trips, pages, parts, copies, wrong keys", async () => {
  if (
    (await run(["/usr/bin/python3", "-c", "import importlib.util as u; print(u.find_spec('boto3'))"])).startsWith(
      "None",
    )
  )
    return console.log("skipped: boto3 (it is not installed)");
  expect(await run(["/usr/bin/python3", "-c", python, s3.endpoint, at("big"), at("boto-big")])).toContain("all well");
  expect(readFileSync(at("boto-big")).equals(big)).toBe(true);
});

withProgram("/usr/bin/s3cmd", "s3cmd: sync twice, parts, copies, what is told of an object", async () => {
  const host = s3.endpoint.replace("http://", "");
  const lines = ["[default]", `access_key = ${accessKeyId}`, `secret_key = ${secretAccessKey}`, `host_base = ${host}`];
  writeFileSync(at("s3cfg"), [...lines, `host_bucket = ${host}`, "use_https = False", ""].join("\n"));
  const s3cmd = (...words: string[]) => run(["/usr/bin/s3cmd", "-c", at("s3cfg"), "--no-progress", ...words]);
  await s3cmd("mb", "s3://s3cmd");
  expect((await s3cmd("sync", `${at("tree")}/`, "s3://s3cmd/tree/")).match(/upload:/g)?.length).toBe(4);
  expect(await s3cmd("sync", `${at("tree")}/`, "s3://s3cmd/tree/")).not.toContain("upload:");
  await s3cmd("sync", "s3://s3cmd/tree/", `${at("s3cmd tree")}/`);
  expectTree("s3cmd tree");
  await s3cmd("put", "--multipart-chunk-size-mb=5", at("big"), "s3://s3cmd/big");
  await s3cmd("get", "s3://s3cmd/big", at("s3cmd-big"));
  expect(readFileSync(at("s3cmd-big")).equals(big)).toBe(true);
  await s3cmd("cp", "s3://s3cmd/tree/empty", "s3://s3cmd/copy");
  await s3cmd("mv", "s3://s3cmd/copy", "s3://s3cmd/moved");
  expect(await s3cmd("info", "s3://s3cmd/moved")).toContain("File size: 0");
  await s3cmd("del", "--recursive", "--force", "s3://s3cmd");
  await s3cmd("rb", "s3://s3cmd");
});

withProgram("/usr/bin/rclone", "rclone: sync twice, times, parts, a check of all bytes", async () => {
  const lines = ["[m]", "type = s3", "provider = Other", `access_key_id = ${accessKeyId}`];
  writeFileSync(
    at("rclone"),
    [...lines, `secret_access_key = ${secretAccessKey}`, `endpoint = ${s3.endpoint}`, ""].join("\n"),
  );
  const rclone = (...words: string[]) => run(["/usr/bin/rclone", "--config", at("rclone"), ...words]);
  await rclone("mkdir", "m:rclone");
  expect(await rclone("sync", "-v", at("tree"), "m:rclone/tree")).toContain("4 / 4, 100%");
  expect(await rclone("sync", "-v", at("tree"), "m:rclone/tree")).not.toContain("Copied");
  await rclone("check", "--download", at("tree"), "m:rclone/tree");
  await rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", at("big"), "m:rclone");
  await rclone("touch", "--timestamp", "2020-01-02T03:04:05", "m:rclone/big");
  expect(await rclone("lsl", "m:rclone/big")).toContain("2020-01-02 03:04:05");
  await rclone("moveto", "m:rclone/big", "m:rclone/moved");
  expect(await rclone("md5sum", "--download", "m:rclone/moved")).toContain(Bun.MD5.hash(big, "hex"));
});

withProgram("/usr/bin/restic", "restic: a backup is made, checked, restored, forgotten", async () => {
  const env = { RESTIC_PASSWORD: "secret", RESTIC_REPOSITORY: `s3:${s3.endpoint}/restic` };
  const restic = (...words: string[]) => run(["/usr/bin/restic", "-q", "--no-cache", ...words], env);
  await restic("init");
  await restic("backup", at("tree"));
  await restic("check", "--read-data");
  await restic("restore", "latest", "--target", at("restored"));
  expectTree("restored", at("tree"));
  await restic("forget", "--prune", "--keep-last", "1", "latest");
});

test.concurrent("@aws-sdk/client-s3 and lib-storage: streams, parts, sums, copies", async () => {
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ credentials, endpoint: s3.endpoint, region: "eu-north-1", forcePathStyle: true });
  const Bucket = "aws-sdk";
  await client.send(new CreateBucketCommand({ Bucket }));
  const Metadata = { k: "v" };
  await client.send(new PutObjectCommand({ Bucket, Key: "a/b c+d", Body: "text", ContentType: "text/x", Metadata }));
  const read = await client.send(new GetObjectCommand({ Bucket, Key: "a/b c+d", ChecksumMode: "ENABLED" }));
  expect([await read.Body!.transformToString(), read.ContentType, read.Metadata]).toEqual(["text", "text/x", Metadata]);
  expect(read.ChecksumCRC32).toBeString();
  const params = { Bucket, Key: "big", Body: Readable.from([big.subarray(0, 7), big.subarray(7)]) };
  await new Upload({ client, params, partSize: PART_BYTES }).done();
  const back = await client.send(new GetObjectCommand({ Bucket, Key: "big" }));
  expect(Buffer.from(await back.Body!.transformToByteArray()).equals(big)).toBe(true);
  await client.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/big` }));
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }));
  expect(Contents?.map(({ Key, Size }) => [Key, Size])).toEqual([
    ["a/b c+d", 4],
    ["big", big.length],
    ["copy", big.length],
  ]);
  const Objects = Contents!.map(({ Key }) => ({ Key }));
  expect((await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Errors).toBeUndefined();
});

test.concurrent("minio: buckets, parts, metadata, links, lists", async () => {
  const keys = { accessKey: accessKeyId, secretKey: secretAccessKey };
  const client = new Minio({ endPoint: "127.0.0.1", port: s3.port, useSSL: false, ...keys });
  await client.makeBucket("minio");
  await client.putObject("minio", "x y", "text", undefined, { "Content-Type": "text/x", "X-Amz-Meta-A": "1" });
  expect((await client.statObject("minio", "x y")).metaData).toMatchObject({ "content-type": "text/x", a: "1" });
  await client.fPutObject("minio", "big", at("big"), {});
  await client.fGetObject("minio", "big", at("minio-big"));
  expect(readFileSync(at("minio-big")).equals(big)).toBe(true);
  expect(await run(["curl", "-sSf", await client.presignedGetObject("minio", "x y")])).toBe("text");
  await run(["curl", "-sSf", "-T", at("tree", "empty"), await client.presignedPutObject("minio", "put")]);
  const found: unknown[] = [];
  for await (const { name } of client.listObjectsV2("minio", "", true)) found.push(name);
  expect(found).toEqual(["big", "put", "x y"]);
  await client.removeObjects("minio", ["big", "put", "x y"]);
  await client.removeBucket("minio");
});

test.concurrent("curl: what has no body is signed as it is, a body if something is said of it", async () => {
  const curl = (path: string, ...options: string[]) => {
    const signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", `${accessKeyId}:${secretAccessKey}`];
    return run(["curl", "-sSf", ...signed, ...options, s3.endpoint + path]);
  };
  await curl("/curl", "-X", "PUT");
  await curl("/curl/it", "-T", at("tree", "a b+c.txt"), "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD");
  expect(await curl("/curl/it")).toBe("content of a b+c.txt");
  expect(await curl("/curl/it", "-I")).toMatch(/^Content-Type: [^]*^ETag: "/m); // Not all clients read "etag": htslib.
  expect(await curl("/curl?list-type=2")).toContain("<Key>it</Key>");
  await curl("/curl/it", "-X", "DELETE");
  await curl("/curl", "-X", "DELETE");
});

test.concurrent("Bun's S3Client: round trips, parts, ranges, wrong keys", async () => {
  await s3.cluster.store("/bun/first", "makes the bucket");
  const client = s3.client("bun");
  for (const name of names) await client.write(name, Bun.file(at("tree", name)), { type: "text/plain" });
  expect(await client.file("sub/ü&'(1)*.txt").text()).toBe("content of sub/ü&'(1)*.txt");
  expect((await client.list())!.contents!.length).toBe(names.length + 1);
  await client.write("big", Bun.file(at("big")), { partSize: PART_BYTES });
  expect(Buffer.from(await client.file("big").arrayBuffer()).equals(big)).toBe(true);
  expect(Buffer.from(await client.file("big").slice(10, 20).arrayBuffer()).equals(big.subarray(10, 20))).toBe(true);
  await client.delete("big");
  expect(await client.exists("big")).toBe(false);
  const stranger = s3.client("bun", { accessKeyId, secretAccessKey: "another-secret" });
  await expect(stranger.file("first").text()).rejects.toThrow();
});
