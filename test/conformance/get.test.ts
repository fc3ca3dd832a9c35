import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, truncateSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { follow, target } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster({ flags: ["-voltimeout", "500ms"] })));
afterAll(() => cluster[Symbol.asyncDispose]());

/** The addresses that so many GETs of a key lead to. */
async function destinations(key: string, times: number): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < times; i++) {
    const answer = await cluster.ask("GET", key);
    expect(answer.status).toBe(302);
    found.add(`localhost:${target(answer.headers.get("location")!).port}`);
  }
  return found;
}

test.each(["GET", "HEAD"])(
  "%s of a stored key redirects to a volume that has it, and says what is known of the value",
  async (method) => {
    const key = `/stored-${method}`;
    const value = valueOf(key, 5_000);
    await cluster.store(key, value);
    const answer = await cluster.ask(method, key);
    expect(answer.status).toBe(302);
    expect(answer.body.length).toBe(0);
    expect(answer.headers.get("content-length")).toBe("0");
    expect(answer.headers.get("content-md5")).toBe(md5Hex(value));
    expect(answer.headers.get("key-balance")).toBe("balanced");
    const volumes = placedOn(key, { volumes: cluster.addresses });
    expect(answer.headers.get("key-volumes")).toBe(volumes.join(","));
    const locations = volumes.map((volume) => `http://${volume}${pathOf(key)}`);
    expect(locations).toContain(answer.headers.get("location")!);
    const found = await follow(answer, { method });
    expect(found.status).toBe(200);
    expect(found.headers.get("content-length")).toBe("5000");
    if (method === "GET") expect(found.body.equals(value)).toBe(true);
  },
);

test.each(["GET", "HEAD"])("%s of an absent key is 404 with an empty body", async (method) => {
  const answer = await cluster.ask(method, "/absent");
  expect(answer.status).toBe(404);
  expect(answer.headers.get("content-length")).toBe("0");
  expect(answer.body.length).toBe(0);
});

test.each(["GET", "HEAD"])("%s of an unlinked key is 404 with an empty body", async (method) => {
  const key = `/unlinked-${method}`;
  await cluster.store(key);
  expect((await cluster.ask("UNLINK", key)).status).toBe(204);
  const answer = await cluster.ask(method, key);
  expect(answer.status).toBe(404);
  expect(answer.headers.get("content-length")).toBe("0");
});

test("a key is read from all of its volumes in turn", async () => {
  await cluster.store("/spread");
  expect([...(await destinations("/spread", 60))].sort()).toEqual([...cluster.addresses].sort());
});

test("a range of a value is served by the volume", async () => {
  await cluster.store("/range", "0123456789");
  const redirect = await cluster.ask("GET", "/range", { headers: { Range: "bytes=2-4" } });
  expect(redirect.status).toBe(302);
  const part = await follow(redirect, { headers: { Range: "bytes=2-4" } });
  expect([part.status, part.text, part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
});

test("a key on three volumes survives the loss of two", async () => {
  await cluster.store("/survivor", "still here");
  const [first, second, third] = cluster.volumes;
  await Promise.all([first!.kill(), second!.kill()]);
  try {
    await until(async () => (await cluster.ask("GET", "/survivor")).status === 302, { what: "one volume is found" });
    await until(async () => [...(await destinations("/survivor", 10))].join() === third!.address, {
      what: "nobody is sent to a dead volume any more",
    });
    expect((await follow(await cluster.ask("GET", "/survivor"))).text).toBe("still here");
  } finally {
    await Promise.all([first!.restart(), second!.restart()]);
  }
  await cluster.recovered();
  await until(async () => (await destinations("/survivor", 20)).size === 3, { what: "all volumes are used again" });
});

test("while none of its volumes can be reached a key is 503 with Retry-After, not 404", async () => {
  await cluster.store("/unreachable");
  await Promise.all(cluster.volumes.map((volume) => volume.kill()));
  try {
    for (const method of ["GET", "HEAD"]) {
      const answer = await until(
        async () => {
          const answer = await cluster.ask(method, "/unreachable");
          return answer.status === 302 ? undefined : answer;
        },
        { what: "the loss is noticed" },
      );
      expect(answer.status).toBe(503);
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
      if (method === "GET") expect(answer.text).toMatch(/^[^\n]+\n?$/);
    }
    expect((await cluster.ask("GET", "/absent")).status).toBe(404);
  } finally {
    for (const volume of cluster.volumes) await volume.restart();
  }
  await until(async () => (await cluster.ask("GET", "/unreachable")).status === 302, { what: "it is back" });
  await cluster.recovered();
});

test("volumes that hang count as down after the -voltimeout", async () => {
  await cluster.store("/hanging");
  cluster.volumes.forEach((volume) => volume.freeze());
  try {
    const noticed = async () => (await cluster.ask("GET", "/hanging")).status !== 302;
    await until(noticed, { what: "the hang is noticed" });
    const start = performance.now();
    expect((await cluster.ask("GET", "/hanging")).status).toBe(503);
    expect(performance.now() - start).toBeLessThan(3_000);
  } finally {
    cluster.volumes.forEach((volume) => volume.thaw());
  }
  await until(async () => (await cluster.ask("GET", "/hanging")).status === 302, { what: "it is back" });
  await cluster.recovered();
});

test("one volume that hangs is not waited for again and again, and no reader is sent there", async () => {
  await cluster.store("/one-hangs");
  cluster.volumes[0]!.freeze();
  try {
    await until(async () => !(await destinations("/one-hangs", 20)).has(cluster.addresses[0]!), {
      what: "nobody is sent to the frozen volume any more",
      deadlineMs: 30_000,
    });
  } finally {
    cluster.volumes[0]!.thaw();
  }
  await until(async () => (await destinations("/one-hangs", 20)).size === 3, { what: "all volumes are used again" });
  await cluster.recovered();
});

const losses: [string, (file: string) => void][] = [
  ["deleted", (file) => rmSync(file)],
  ["truncated to nothing", (file) => truncateSync(file)],
];

test.each(losses)("a value whose files were %s behind the master's back is 410", async (name, lose) => {
  const key = `/lost-${name.split(" ")[0]}`;
  await cluster.store(key);
  const files = cluster.filesOf(pathOf(key));
  expect(files.length).toBe(3);
  files.forEach(({ file }) => lose(file));
  for (const method of ["GET", "HEAD"]) {
    await until(async () => (await cluster.ask(method, key)).status !== 302, { what: "the loss is noticed" });
    expect((await cluster.ask(method, key)).status).toBe(410);
  }
});

test.each(losses)("a value with one file left is served from there when the others were %s", async (name, lose) => {
  const key = `/left-${name.split(" ")[0]}`;
  await cluster.store(key);
  const kept = cluster.addresses[1]!;
  for (const [i, { file }] of cluster.filesOf(pathOf(key)).entries()) if (i !== 1) lose(file);
  await until(async () => [...(await destinations(key, 10))].join() === kept, { what: "only the good one is named" });
});

test("a value that is gone from one volume, with the others down, may still exist: 503", async () => {
  await cluster.store("/maybe");
  const others = cluster.volumes.slice(1);
  rmSync(cluster.filesOf(pathOf("/maybe"))[0]!.file);
  await Promise.all(others.map((volume) => volume.kill()));
  try {
    await until(async () => (await cluster.ask("GET", "/maybe")).status !== 302, { what: "the loss is noticed" });
    expect((await cluster.ask("GET", "/maybe")).status).toBe(503);
  } finally {
    for (const volume of others) await volume.restart();
  }
  await cluster.recovered();
});
