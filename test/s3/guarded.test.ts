// S3, and the replacing that it rests on, over volumes that ask who asks, and over those that sync; and what is protected.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startMkvVolume } from "../durability/mkv-volume";
import { follow, request } from "../support/http";
import { temporaryFolder } from "../support/folder";
import { keyFile, newKey } from "../support/link-key";
import { startMaster } from "../support/master";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";

setDefaultTimeout(60_000);

async function putTwice({ port, cluster }: S3Cluster): Promise<void> {
  expect((await ask(port, { method: "PUT", target: "/guarded" })).status).toBe(200);
  for (const body of ["first", "second, which is longer"]) {
    expect((await ask(port, { method: "PUT", target: "/guarded/k", body })).status).toBe(200);
    const read = await ask(port, { target: "/guarded/k", headers: { range: "bytes=1-3" } });
    expect([read.status, read.text]).toEqual([206, body.slice(1, 4)]);
  }
  expect((await ask(port, { target: "/guarded" })).text).toContain("<Size>23</Size>");
  expect(cluster.remains().filter((file) => file.includes("/staged/"))).toEqual([]);
}

test.concurrent("volumes with a link key, which serve and change what is signed alone", async () => {
  await using folder = temporaryFolder();
  const file = keyFile(folder.path, { keys: [newKey()] });
  await using s3 = await startS3({ flags: ["-linkkey", file], volumeEnv: { LINK_KEY: file } });
  await putTwice(s3);
});

test.concurrent("volumes with a password, which the master has", async () => {
  const login = { user: "admin", password: "secret" };
  await using s3 = await startS3({ login, flags: ["-open"], env: { MKV_USERPASS: "admin:secret" } });
  await putTwice(s3);
});

test.concurrent("under -sync, over volumes that sync, a value is replaced, too", async () => {
  await using volume = await startMkvVolume();
  await using master = await startMaster({ volumes: [volume.address], flags: ["-sync", "-replicas", "1"] });
  for (const body of ["first", "second"]) {
    const put = await request(master.port, { method: "PUT", target: "/k?replace", body });
    expect([put.status, put.text]).toEqual([201, ""]);
    expect((await follow(await request(master.port, { target: "/k" }))).text).toBe(body);
  }
});

test.concurrent("with -protect nothing of an object is replaced or deleted, nor what is said of it", async () => {
  await using s3 = await startS3({ flags: ["-protect"] });
  const send = (asked: Omit<Asked, "target">) => ask(s3.port, { ...asked, target: "/bkt/kept" });
  await ask(s3.port, { method: "PUT", target: "/bkt" });
  expect((await send({ method: "PUT", body: "kept", headers: { "content-type": "a/b" } })).status).toBe(200);
  const copy = { "x-amz-copy-source": "bkt/kept", "x-amz-metadata-directive": "REPLACE", "content-type": "c/d" };
  const asked = [{ method: "PUT", headers: copy }, { method: "PUT", body: "other" }, { method: "DELETE" }];
  for (const each of asked) expect([each, codeIn((await send(each)).text)]).toEqual([each, "AccessDenied"]);
  const read = await send({});
  expect([read.text, read.headers.get("content-type")]).toEqual(["kept", "a/b"]);
});
