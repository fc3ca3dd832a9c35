// The end of an upload in parts: what was committed is told, once, whatever becomes of the parts, and they go soon.
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { type Folder, temporaryFolder } from "../support/folder";
import { type GatedCluster, startGatedCluster } from "../support/gated";
import { codeIn, s3Flags } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(90_000);
let folder: Folder;
let cluster: GatedCluster;
let port: number;
beforeAll(async () => {
  folder = temporaryFolder();
  const s3 = await s3Flags(folder.path);
  port = s3.port;
  cluster = await startGatedCluster({ flags: [...s3.flags, "-stalltimeout", "60s", "-voltimeout", "10s"] });
  await send({ method: "PUT", target: "/bkt" });
});
beforeEach(() => cluster.openAll());
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const mib5 = 5 * 1024 * 1024;
const values = [valueOf("first", mib5), valueOf("second", mib5), valueOf("last", 1_000), valueOf("other", 1_000)];
const send = (asked: Asked) => ask(port, asked);
const target = (key: string, id: string) => `/bkt/${key}?uploadId=${id}`;
const part = (key: string, id: string, number: number) =>
  send({ method: "PUT", target: `${target(key, id)}&partNumber=${number}`, body: values[number - 1]! });

/** An upload with these parts. */
async function begin(key: string, numbers = [1, 2, 3]): Promise<string> {
  const { text } = await send({ method: "POST", target: `/bkt/${key}?uploads` });
  const id = /<UploadId>([^<]+)</.exec(text)![1]!;
  for (const number of numbers) expect((await part(key, id, number)).status).toBe(200);
  return id;
}

/** What the end of an upload is answered with: its status, and the ETag or the code of the failure. */
async function complete(key: string, id: string, numbers = [1, 2, 3]): Promise<[status: number, told: string]> {
  const named = numbers.map((n) => `<Part><PartNumber>${n}</PartNumber><ETag>${md5Hex(values[n - 1]!)}</ETag></Part>`);
  const body = `<CompleteMultipartUpload>${named.join("")}</CompleteMultipartUpload>`;
  const { status, text } = await send({ method: "POST", target: target(key, id), body });
  return [status, codeIn(text) ?? /<ETag>(?:&quot;|")(.*?)(?:&quot;|")</.exec(text)![1]!];
}

/** The ETag of an object of these parts. */
function etagOf(...numbers: number[]): string {
  const sums = numbers.map((number) => Buffer.from(md5Hex(values[number - 1]!), "hex"));
  return `${md5Hex(Buffer.concat(sums))}-${numbers.length}`;
}

const names = Buffer.from("/mkv:uploads/").toString("base64").slice(0, 16);
const partFiles = () => cluster.remains().filter((file) => file.includes(names));
const expectNoParts = () => until(() => partFiles().length === 0, { what: "no part is left", deadlineMs: 40_000 });

test("an upload is complete though one of its parts is busy, and is over: who writes that is told, and none is left", async () => {
  const id = await begin("busy");
  for (const gate of cluster.gates) gate.hold("PUT", "body", { times: 1 });
  const late = part("busy", id, 2);
  await Promise.all(cluster.gates.map((gate) => gate.holds("PUT", 1)));
  expect(await complete("busy", id)).toEqual([200, etagOf(1, 2, 3)]);
  expect((await part("busy", id, 3)).status).toBe(404);
  cluster.openAll();
  const { status, text } = await late;
  expect([status, codeIn(text)]).toEqual([404, "NoSuchUpload"]);
  await expectNoParts();
});

test("an object that is deleted as soon as it is there has been complete, and is not made again of what is left", async () => {
  const id = await begin("deleted");
  for (const gate of cluster.gates) gate.hold("DELETE", "arrival");
  const done = complete("deleted", id);
  await Promise.all(cluster.gates.map((gate) => gate.holds("DELETE", 1)));
  const deleted = send({ method: "DELETE", target: "/bkt/deleted" });
  const isGone = async () => (await send({ target: "/bkt/deleted" })).status === 404;
  await until(isGone, { what: "the object is not shown any more" });
  expect(partFiles().length).toBe(9);
  for (const numbers of [[1, 2, 3], [3]]) expect(await complete("deleted", id, numbers)).toEqual([404, "NoSuchUpload"]);
  cluster.openAll();
  expect(await done).toEqual([200, etagOf(1, 2, 3)]);
  expect((await deleted).status).toBe(204);
  expect(await isGone()).toBe(true);
  await expectNoParts();
});

test("of requests to complete an upload that come at once, one makes the object, and all are told of that", async () => {
  for (let round = 0; round < 25; round++) {
    const key = `once-${round}`;
    const id = await begin(key, [3, 4]);
    const asked = Array.from({ length: 20 }, async (_, i) => {
      await Bun.sleep(i);
      return await complete(key, id, [3 + (i % 2)]);
    });
    const answers = new Set((await Promise.all(asked)).map(String));
    const etag = (await send({ method: "HEAD", target: `/bkt/${key}` })).headers.get("etag");
    expect([...answers]).toEqual([`200,${etag?.replaceAll('"', "")}`]);
  }
  await expectNoParts();
});

test("what a crash has left of the parts of an object goes with the next start", async () => {
  const id = await begin("crashed");
  for (const gate of cluster.gates) gate.hold("DELETE", "arrival");
  const done = complete("crashed", id).catch(() => undefined);
  await Promise.all(cluster.gates.map((gate) => gate.holds("DELETE", 1)));
  await cluster.master.kill();
  await done;
  cluster.openAll();
  await cluster.startMaster();
  await expectNoParts();
  expect(await complete("crashed", id)).toEqual([200, etagOf(1, 2, 3)]);
});

test("an upload of which a part is being replaced for long is told to be completed again, and is, then", async () => {
  const id = await begin("replaced");
  for (const gate of cluster.gates) gate.hold("GET", "answer", { times: 1 });
  const done = complete("replaced", id);
  await Promise.any(cluster.gates.map((gate) => gate.holds("GET", 1)));
  for (const gate of cluster.gates) gate.hold("MOVE", "arrival");
  const again = part("replaced", id, 2);
  await Promise.all(cluster.gates.map((gate) => gate.holds("MOVE", 1)));
  for (const gate of cluster.gates) gate.open("GET");
  expect((await done)[1]).toBe("ServiceUnavailable");
  cluster.openAll();
  expect((await again).status).toBe(200);
  expect(await complete("replaced", id)).toEqual([200, etagOf(1, 2, 3)]);
});
