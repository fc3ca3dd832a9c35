// What jobs ask of a master that runs, and what anybody else might ask in their place: no value can be lost by it, and
// no request led to a server that is none of the volumes.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { homeOf, indexOf } from "../support/copies";
import { startFaultyVolume, type Behaviour, type SeenRequest } from "../support/faulty";
import { dial, head, request } from "../support/http";
import { startMaster } from "../support/master";
import { basic } from "../support/password";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { damage, fileOf, plant } from "../jobs/damage";
import { shelf } from "../jobs/job";

setDefaultTimeout(60_000);
const LINE = /^[^\n]{5,}\n?$/;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  await cluster.store("/live");
  await cluster.store("/soft");
  await cluster.ask("UNLINK", "/soft");
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** Status and text of a POST. */
async function post(target: string): Promise<unknown[]> {
  const { status, text } = await cluster.ask("POST", target);
  return [status, text];
}

/** A volume on which a key does not belong. */
function elsewhere(store: Cluster, key: string): string {
  return homeOf(store, key, store.volumes.length).at(-1)!;
}

function plantOn(store: Cluster, volume: string, key: string): Disposable {
  return plant(store.volumes[indexOf(store, volume)]!, `${volume.split("/")[1]!}${pathOf(key)}`, "stray");
}

/** Names, as a query has them, of what is none of the volumes; `ours` is one of them, `foreign` another server. */
const misnomers: [string, (ours: string, foreign: string) => string][] = [
  ["nothing", () => ""],
  ["another server", (_, foreign) => foreign],
  ["a disk of another server", (_, foreign) => `${foreign}/sv00`],
  ["another name of the server", (ours) => `${ours.replace("localhost", "127.0.0.1")}/sv00`],
  ["another port", (ours) => `${ours}0/sv00`],
  ["a host without a port", () => "localhost/sv00"],
  ["a URL", (ours) => `http://${ours}/sv00`],
  ["a user before the server", (ours, foreign) => `${ours}@${foreign}/sv00`],
  ["two volumes", (ours, foreign) => `${ours}/sv00,${foreign}/sv00`],
  ["a slash at the end", (ours) => `${ours}/sv09/`],
  ["a slash too many", (ours) => `${ours}//sv09`],
  ["an escaped slash too many", (ours) => `${ours}%2F%2Fsv09`],
  ["a folder that is no disk", (ours) => `${ours}/mkv-same`],
  ["a disk in lower case", (ours) => `${ours}/sv0a`],
  ["dots", () => ".."],
  ["the parent of the server", (ours) => `${ours}/..`],
  ["the parent of a disk", (ours) => `${ours}/sv09/..`],
  ["another disk by way of its parent", (ours) => `${ours}/sv09/%2e%2e/sv08`],
  ["a line break at the end", (ours) => `${ours}/sv09%0a`],
  ["a header line", (ours) => `${ours}/sv09%0d%0aX-Evil:%201`],
  ["a request of its own", (ours) => `${ours}%0d%0a%0d%0aDELETE%20/sv09${pathOf("/live")}%20HTTP/1.1%0d%0a`],
  ["a question mark", (ours) => `${ours}/sv09%3f`],
  ["a zero byte", (ours) => `${ours}%00/sv09`],
  ["a broken escape", (ours) => `${ours}/sv%zz`],
];

test("a sweep or orphan of what is none of the volumes is 400, and no server hears of it", async () => {
  const answer = ({ method }: SeenRequest): Behaviour => ({ does: "answer", status: method === "PUT" ? 201 : 204 });
  await using ours = await startFaultyVolume(answer);
  await using foreign = await startFaultyVolume(answer);
  await using master = await startMaster({ volumes: [ours.address], flags: ["-replicas", "1"] });
  expect((await request(master.port, { method: "PUT", target: "/live", body: "value" })).status).toBe(201);
  const heard = () => ours.seen.filter(({ path }) => path !== "/"); // There its health is asked for.
  for (const [what, name] of misnomers) {
    for (const operation of ["sweep", "orphan"]) {
      for (const key of ["/live", "/absent"]) {
        const target = `${key}?${operation}=${name(ours.address, foreign.address)}`;
        const { status, text } = await request(master.port, { method: "POST", target });
        expect([what, status, text]).toEqual([what, 400, expect.stringMatching(LINE)]);
        expect([what, heard().length, foreign.seen.length]).toEqual([what, 1, 0]);
      }
    }
  }
});

test("these operations are for POST: by another method they are 403, and remove nothing", async () => {
  const whole = shelf(cluster);
  const volume = elsewhere(cluster, "/live");
  for (const method of ["GET", "PUT", "DELETE", "UNLINK"]) {
    for (const query of [`sweep=${volume}`, `orphan=${volume}`, "examine", "forget"]) {
      const { status, text } = await cluster.ask(method, `/live?${query}`, method === "PUT" ? { body: "x" } : {});
      expect([method, query, status]).toEqual([method, query, 403]);
      expect(text).toMatch(LINE);
    }
  }
  expect(shelf(cluster)).toEqual(whole);
});

test.each(["/live", "/soft"])("a sweep of a volume that the record of %s names removes nothing", async (key) => {
  const whole = shelf(cluster);
  for (const volume of homeOf(cluster, key)) {
    expect(await post(`${key}?orphan=${volume}`)).toEqual([200, ""]);
    expect(await post(`${key}?sweep=${volume}`)).toEqual([204, ""]);
  }
  expect(shelf(cluster)).toEqual(whole);
});

test.each(["/live", "/soft", "/absent"])(
  "a stray file of %s is an orphan, and a sweep removes it alone",
  async (key) => {
    const whole = shelf(cluster);
    const volume = elsewhere(cluster, key);
    expect(await post(`${key}?orphan=${volume}`)).toEqual([200, ""]);
    {
      using _stray = plantOn(cluster, volume, key);
      const more = shelf(cluster);
      expect(Object.keys(more).length).toBe(Object.keys(whole).length + 1);
      expect(await post(`${key}?orphan=${volume}`)).toEqual([200, "orphan"]);
      expect(shelf(cluster)).toEqual(more);
      for (const _time of ["first", "second"]) expect(await post(`${key}?sweep=${volume}`)).toEqual([204, ""]);
      expect(shelf(cluster)).toEqual(whole);
    }
  },
);

test("a key that is live is not forgotten, nor one that is unlinked while a volume has a copy", async () => {
  const forgotten = () => post("/forget?forget");
  const refused: [number, string] = [403, expect.stringMatching(LINE)];
  await cluster.store("/forget");
  const whole = shelf(cluster);
  expect(await forgotten()).toEqual(refused);
  await cluster.ask("UNLINK", "/forget");
  expect(await forgotten()).toEqual(refused);
  expect(shelf(cluster)).toEqual(whole);
  const [first, ...others] = homeOf(cluster, "/forget");
  for (const volume of others) damage(fileOf(cluster, "/forget", volume), "missing");
  expect(await forgotten()).toEqual(refused);
  expect(await cluster.keys("unlinked", "/forget")).toEqual(["/forget"]);
  damage(fileOf(cluster, "/forget", first!), "missing");
  expect(await forgotten()).toEqual([204, ""]);
  expect(await cluster.keys("unlinked", "/forget")).toEqual([]);
  expect(await forgotten()).toEqual([204, ""]); // There is nothing to forget.
});

test("a live key without any copy is not forgotten", async () => {
  await cluster.store("/bereft");
  for (const volume of homeOf(cluster, "/bereft")) damage(fileOf(cluster, "/bereft", volume), "missing");
  expect((await post("/bereft?forget"))[0]).toBe(403);
  expect(await cluster.keys("list", "/bereft")).toEqual(["/bereft"]);
  expect((await cluster.ask("DELETE", "/bereft")).status).toBe(204);
});

test("an examination tells whether a key is amiss, and changes nothing", async () => {
  for (const key of ["/live", "/soft", "/absent"]) expect(await post(`${key}?examine&md5`)).toEqual([200, ""]);
  await cluster.store("/amiss");
  const file = fileOf(cluster, "/amiss", homeOf(cluster, "/amiss")[1]!);
  damage(file, "flipped");
  const flipped = shelf(cluster);
  expect(await post("/amiss?examine")).toEqual([200, ""]);
  expect(await post("/amiss?examine&md5")).toEqual([200, "amiss"]);
  expect(shelf(cluster)).toEqual(flipped);
  damage(file, "missing");
  const missing = shelf(cluster);
  expect(await post("/amiss?examine")).toEqual([200, "amiss"]);
  expect(shelf(cluster)).toEqual(missing);
  expect((await cluster.ask("DELETE", "/amiss")).status).toBe(204);
});

test("the records show every key with what the index holds of it, in pages like a list", async () => {
  const recordOf = (key: string) => `HASH${md5Hex(`value of ${key}`)}${homeOf(cluster, key).join(",")}`;
  const records = async (target: string) => JSON.parse((await cluster.ask("GET", target)).text);
  const [live, soft] = [
    ["/live", recordOf("/live")],
    ["/soft", `DELETED${recordOf("/soft")}`],
  ];
  expect(await records("/?records")).toEqual({ next: "", keys: [live, soft] });
  expect(await records("/?records&limit=1")).toEqual({ next: "/soft", keys: [live] });
  expect(await records("/?records&start=/soft")).toEqual({ next: "", keys: [soft] });
  expect(await records("/so?records")).toEqual({ next: "", keys: [soft] });
});

test("while a key is being written it is let alone: 409", async () => {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/busy", headers: { "Content-Length": "10" } }, { close: true }));
  wire.write("01234");
  await until(async () => (await cluster.keys("unlinked")).includes("/busy"), { what: "the write has begun" });
  const volumes = homeOf(cluster, "/busy", cluster.volumes.length);
  const operations = [...volumes.flatMap((volume) => [`sweep=${volume}`, `orphan=${volume}`]), "examine", "forget"];
  const answers = await Promise.all(operations.map((operation) => post(`/busy?${operation}`)));
  expect(answers).toEqual(operations.map(() => [409, expect.stringMatching(LINE)]));
  wire.write("56789");
  expect((await wire.answer()).status).toBe(201);
  expect(cluster.filesOf(pathOf("/busy")).map(({ md5 }) => md5)).toEqual(Array(3).fill(md5Hex("0123456789")));
});

test("with -basicauth they all ask for credentials: 401 without, and nothing is removed", async () => {
  const login = { user: "admin", password: "secret" };
  await using closed = await startCluster({ login, flags: ["-basicauth", "-replicas", "2"] });
  const headers = { Authorization: basic(login) };
  expect((await closed.ask("PUT", "/kept", { headers, body: "kept" })).status).toBe(201);
  const stray = elsewhere(closed, "/kept");
  using _planted = plantOn(closed, stray, "/kept");
  const whole = shelf(closed);
  expect(Object.keys(whole).length).toBe(3);
  const operations = [`sweep=${stray}`, `orphan=${stray}`, "examine", "examine&md5", "forget", "rebalance"];
  for (const wrong of [{}, { Authorization: basic({ ...login, password: "guess" }) }]) {
    expect((await closed.ask("GET", "/?records", { headers: wrong })).status).toBe(401);
    for (const operation of operations) {
      const { status } = await closed.ask("POST", `/kept?${operation}`, { headers: wrong });
      expect([operation, status]).toEqual([operation, 401]);
    }
  }
  expect(shelf(closed)).toEqual(whole);
  const swept = await closed.ask("POST", `/kept?sweep=${stray}`, { headers });
  expect([swept.status, Object.keys(shelf(closed)).length]).toEqual([204, 2]);
});
