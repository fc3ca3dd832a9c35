// What is remembered beside the index, or lies beside the records, may have rotted: the master starts, serves all that it can,
// and says what is wrong.
import { expect, setDefaultTimeout, test } from "bun:test";
import { basename, dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { holding } from "../support/holding";
import { type S3Cluster, startS3 } from "../support/s3";
import { ask } from "../support/s3-sign";
import { runMkv } from "../support/master";

setDefaultTimeout(60_000);

/** The LevelDB of this name beside the index of a master that has ended. */
async function beside<T>({ cluster }: S3Cluster, name: "mkv" | "facts", work: (db: ClassicLevel) => Promise<T>) {
  const db = new ClassicLevel(join(dirname(cluster.db), `.${basename(cluster.db)}.${name}`), {
    createIfMissing: false,
  });
  await db.open();
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** Starts it anew and asks for all that reads what was spoilt. Returns the status of each. */
async function served(at: S3Cluster): Promise<Record<string, number>> {
  const { cluster, port } = at;
  await cluster.startMaster();
  const statuses: Record<string, number> = {};
  for (const target of ["/", "/bkt", "/bkt?uploads", "/bkt?versions", "/bkt/o", "/bkt/with", "/bkt/p?partNumber=1"])
    statuses[target] = (await ask(port, { target })).status;
  for (const target of ["/native", "/?list", "/?job=verify", "/?export"])
    statuses[`native ${target}`] = (await cluster.ask("GET", target)).status;
  statuses["PUT"] = (await ask(port, { method: "PUT", target: "/bkt/new", body: "new" })).status;
  return statuses;
}

async function startFilled(): Promise<S3Cluster & { id: string }> {
  return await holding(async (held) => {
    const at = held.use(await startS3({ flags: ["-heal", "100", "-scrub", "1d"] }));
    return { ...at, id: await fill(at) };
  });
}

/** Stores values and objects, and begins an upload, whose id it returns. */
async function fill({ cluster, port }: S3Cluster): Promise<string> {
  const put = (target: string, rest = {}) => ask(port, { method: "PUT", target, body: "value", ...rest });
  await cluster.store("/native");
  await put("/bkt", { body: "" });
  await put("/bkt/o");
  await put("/bkt/with", { headers: { "x-amz-meta-a": "b" } });
  const idOf = ({ text }: { text: string }) => /<UploadId>(.*)<\/UploadId>/.exec(text)![1]!;
  const done = idOf(await ask(port, { method: "POST", target: "/bkt/p?uploads" }));
  const etag = (await put(`/bkt/p?partNumber=1&uploadId=${done}`)).headers.get("etag");
  const part = `<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
  await ask(port, { method: "POST", target: `/bkt/p?uploadId=${done}`, body });
  return idOf(await ask(port, { method: "POST", target: "/bkt/open?uploads" }));
}

const others = ["job verify", "noted", "put-back v/sv00", "heal 2f6", "heal 2f61", "walk scrub", "scrubbed", "dates 0"];

test("whatever is remembered may be anything: the master starts, and serves", async () => {
  await using at = await startFilled();
  const { cluster } = at;
  for (const garbage of ["", "{", "null", "5", '"x"', "[]", "{}"]) {
    await cluster.master.stop();
    await beside(at, "mkv", async (db) => {
      const names = (await db.keys().all()).filter((name) => !/^(id|index)/.test(name));
      for (const name of [...names, ...others, "orphan v/x", "orphans", "upload zz", "upload ", "bucket "])
        await db.put(name, garbage);
    });
    const statuses = await served(at);
    expect(Object.entries(statuses).filter(([, status]) => status >= 400)).toEqual([]);
    expect(cluster.master.output).not.toMatch(/a bug|^\s+at /m);
    const target = `/bkt/open?partNumber=1&uploadId=${at.id}`;
    expect((await ask(at.port, { method: "PUT", target, body: "x" })).status).toBe(404);
  }
});

test("an object whose metadata are damaged is told by its key, and can be deleted, put again, and backed up around", async () => {
  await using at = await startFilled();
  const { cluster, port } = at;
  await cluster.master.stop();
  await beside(at, "facts", (db) =>
    db.batch(["o", "with"].map((key) => ({ type: "put", key: `/bkt/${key}`, value: "{" }))),
  );
  const statuses = await served(at);
  expect(statuses).toMatchObject({
    "/bkt": 200,
    "/bkt?versions": 200,
    "/bkt/o": 500,
    "/bkt/p?partNumber=1": 206,
    "native /native": 302,
    PUT: 200,
  });
  expect((await ask(port, { target: "/bkt/o" })).text).toContain("beside the record of &quot;/bkt/o&quot; is damaged");
  const md5 = new Bun.CryptoHasher("md5").update("value").digest("hex");
  const listed = new RegExp(
    `<Key>o</Key><LastModified>20[^<]*</LastModified><ETag>&quot;${md5}&quot;</ETag><Size>5</Size>`,
  );
  expect((await ask(port, { target: "/bkt?list-type=2" })).text).toMatch(listed);
  expect(cluster.master.output).toContain('warn what lies beside the record of "/bkt/o" is damaged');
  expect(cluster.master.output).toContain('"/bkt/o": its type and metadata are damaged, and left out');
  expect((await ask(port, { method: "DELETE", target: "/bkt/o" })).status).toBe(204);
  expect((await ask(port, { method: "PUT", target: "/bkt/with", body: "again" })).status).toBe(200);
  expect((await ask(port, { target: "/bkt/with" })).text).toBe("again");
  expect((await ask(port, { target: "/bkt" })).status).toBe(200);
  expect(cluster.master.output).not.toMatch(/a bug|^\s+at /m);
  const { exitCode } = await runMkv(["-master", cluster.master.url, "-md5", "verify"]);
  expect(exitCode).toBe(0);
});

test("lengths of parts that cannot be are not believed: an object is read, and costs no memory", async () => {
  await using at = await startFilled();
  const { cluster, port } = at;
  for (const spoilt of [
    { parts: "4294967296*1" },
    { parts: "99999*1,x" },
    { bytes: "-1" },
    { bytes: "x", date: "x" },
  ]) {
    await cluster.master.stop();
    await beside(at, "facts", async (db) => {
      const facts = JSON.parse((await db.get("/bkt/p"))!) as { attributes: object };
      await db.put("/bkt/p", JSON.stringify({ ...facts, attributes: { ...facts.attributes, ...spoilt } }));
    });
    await cluster.startMaster();
    expect((await ask(port, { target: "/bkt/p" })).text).toBe("value");
    expect((await ask(port, { target: "/bkt/p?partNumber=1" })).status).toBeOneOf([206, 501]);
    expect((await ask(port, { target: "/bkt" })).text).toMatch(/<Key>p<\/Key>.*<Size>5<\/Size>/);
  }
});

test("metadata whose name and value have all that a header may is not taken for damaged", async () => {
  await using s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/bkt" });
  const name = "x-amz-meta-!#$%&'*+-.^_`|~09az";
  const value = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i).filter((i) => i > 0x20 && i !== 0x7f));
  for (const body of ["first", "second"]) {
    expect((await ask(s3.port, { method: "PUT", target: "/bkt/o", body, headers: { [name]: value } })).status).toBe(
      200,
    );
    const { status, text, headers } = await ask(s3.port, { target: "/bkt/o" });
    expect([status, text, headers.get(name)]).toEqual([200, body, value]);
  }
  await s3.cluster.startMaster();
  expect((await ask(s3.port, { target: "/bkt/o" })).headers.get(name)).toBe(value);
});
