// What jobs ask of a master that runs, and what anybody else might ask in their place: no value can be lost by it, and
// no request led to a server that is none of the volumes. What they do when they are asked is in jobs-examine and jobs-orphans.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, startLiveAndSoft, type Cluster } from "../support/cluster";
import { homeOf } from "../support/copies";
import { startFaultyVolume, type Behaviour, type SeenRequest } from "../support/faulty";
import { dial, head, request } from "../support/http";
import { startMaster } from "../support/master";
import { basic } from "../support/password";
import { pathOf } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { damage, elsewhere, fileOf, plantOn } from "../jobs/damage";
import { shelf } from "../jobs/job";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const LINE = /^[^\n]{5,}\n?$/;
let cluster: Cluster;

beforeAll(async () => void (cluster = await startLiveAndSoft()));
afterAll(() => cluster[Symbol.asyncDispose]());

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

test("an orphan, or a disk to adopt, that is none of the volumes is 400, and no server hears of it", async () => {
  const answer = ({ method }: SeenRequest): Behaviour => ({ does: "answer", status: method === "PUT" ? 201 : 204 });
  await using ours = await startFaultyVolume(answer);
  await using foreign = await startFaultyVolume(answer);
  await using master = await startMaster({ volumes: [ours.address], flags: ["-replicas", "1"] });
  expect((await request(master.port, { method: "PUT", target: "/live", body: "value" })).status).toBe(201);
  const heard = () => ours.seen.filter(({ path }) => path !== "/"); // There its health is asked for.
  for (const [what, name] of misnomers) {
    const named = name(ours.address, foreign.address);
    const operations = ["/live", "/absent"].flatMap((key) => [
      `${key}?orphan=${named}`,
      `${key}?orphan=${named}&repair&remove`,
      `${key}?staged=${named}&repair&remove`,
    ]);
    for (const target of [...operations, `/?adopt=${named}`]) {
      const { status, text } = await request(master.port, { method: "POST", target });
      expect([what, target, status, text]).toEqual([what, target, 400, expect.stringMatching(LINE)]);
      expect([what, heard().length, foreign.seen.length, foreign.idsSeen.length]).toEqual([what, 1, 0, 0]);
    }
  }
});

test("these operations are for POST: by another method they are 403, and change nothing", async () => {
  const whole = shelf(cluster);
  const volume = elsewhere(cluster, "/live");
  const operations = [
    `orphan=${volume}&remove`,
    `staged=${volume}&remove`,
    "examine",
    "examine&repair",
    `adopt=${volume}`,
    "rebalance",
  ];
  for (const method of ["GET", "PUT", "DELETE", "UNLINK"]) {
    for (const query of operations) {
      const { status, text } = await cluster.ask(method, `/live?${query}`, method === "PUT" ? { body: "x" } : {});
      expect([method, query, status]).toEqual([method, query, 403]);
      expect(text).toMatch(LINE);
    }
  }
  expect(shelf(cluster)).toEqual(whole);
});

test("what earlier versions took for a sweep, and for forgetting, is 405 and removes nothing", async () => {
  const whole = shelf(cluster);
  for (const operation of [...homeOf(cluster, "/soft").map((volume) => `sweep=${volume}`), "forget"]) {
    const { status, text, headers } = await cluster.ask("POST", `/soft?${operation}`);
    expect([status, text]).toEqual([405, expect.stringMatching(LINE)]);
    expect(headers.get("allow")).toContain("PUT");
  }
  expect(shelf(cluster)).toEqual(whole);
  expect(await cluster.keys("unlinked", "/soft")).toEqual(["/soft"]);
});

/** What the index holds of a key. */
const recordOf = (key: string) => `HASH${md5Hex(`value of ${key}`)}${homeOf(cluster, key).join(",")}`;

test("the records show every key with what the index holds of it, in pages like a list", async () => {
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

test("the records of some keys come in their order, null for one that has none", async () => {
  const ask = (body: string) => cluster.ask("POST", "/?records", { body });
  const [live, soft] = [recordOf("/live"), `DELETED${recordOf("/soft")}`];
  const { status, text } = await ask(JSON.stringify(["/soft", "/absent", "/live", "", "/soft"]));
  expect([status, JSON.parse(text)]).toEqual([200, [soft, null, live, null, soft]]);
  expect(JSON.parse((await ask("[]")).text)).toEqual([]);
  const many = Array.from({ length: 1_001 }, (_, i) => `/many-${i}`);
  expect(JSON.parse((await ask(JSON.stringify(many.slice(1)))).text)).toEqual(Array(1_000).fill(null));
  for (const wrong of ["", "/live", "{}", '"/live"', "[1]", '["/live"', JSON.stringify(many)]) {
    const refused = await ask(wrong);
    expect([wrong.slice(0, 20), refused.status, refused.text]).toEqual([
      wrong.slice(0, 20),
      400,
      expect.stringMatching(LINE),
    ]);
  }
  const unmeasured = await cluster.ask("POST", "/?records", { body: '["/live"]', chunkBytes: 3 });
  expect([unmeasured.status, unmeasured.text]).toEqual([413, expect.stringMatching(LINE)]);
});

test("while a key is being written it is let alone: 409", async () => {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: "/busy", headers: { "Content-Length": "10" } }, { close: true }));
  wire.write("01234");
  await until(() => isUnderWay(cluster.master.port, "/busy"), { what: "the write has begun" });
  const volumes = homeOf(cluster, "/busy", cluster.volumes.length);
  const orphans = volumes.flatMap((volume) => [`orphan=${volume}`, `staged=${volume}&repair&remove`]);
  const operations = [...orphans, "examine", "examine&md5&repair", "rebalance"];
  const answers = await Promise.all(operations.map((operation) => cluster.ask("POST", `/busy?${operation}`)));
  expect(answers.map(({ status, text }) => [status, text])).toEqual(
    operations.map(() => [409, expect.stringMatching(LINE)]),
  );
  expect((await cluster.ask("POST", "/?records", { body: '["/busy"]' })).text).toBe("[null]");
  wire.write("56789");
  expect((await wire.answer()).status).toBe(201);
  expect(cluster.filesOf(pathOf("/busy")).map(({ md5 }) => md5)).toEqual(Array(3).fill(md5Hex("0123456789")));
});

test("with -basicauth they all ask for credentials: 401 without, and nothing is changed", async () => {
  const login = { user: "admin", password: "secret" };
  await using closed = await startCluster({ login, flags: ["-basicauth", "-replicas", "2"] });
  const headers = { Authorization: basic(login) };
  expect((await closed.ask("PUT", "/kept", { headers, body: "kept" })).status).toBe(201);
  const stray = elsewhere(closed, "/kept");
  using _planted = plantOn(closed, stray, { key: "/kept" });
  damage(fileOf(closed, "/kept", homeOf(closed, "/kept", 2)[1]!), "missing");
  const damaged = shelf(closed);
  expect(Object.keys(damaged).length).toBe(2);
  const orphans = [`/kept?orphan=${stray}`, `/kept?orphan=${stray}&repair&remove`];
  const repairs = ["/kept?examine", "/kept?examine&md5&repair", "/kept?rebalance"];
  for (const wrong of [{}, { Authorization: basic({ ...login, password: "guess" }) }]) {
    expect((await closed.ask("GET", "/?records", { headers: wrong })).status).toBe(401);
    for (const target of [...orphans, ...repairs, `/?adopt=${stray}`, "/?records"]) {
      const { status } = await closed.ask("POST", target, { headers: wrong });
      expect([target, status]).toEqual([target, 401]);
    }
  }
  expect(shelf(closed)).toEqual(damaged);
  const repaired = await closed.ask("POST", "/kept?examine&repair", { headers });
  expect([repaired.status, JSON.parse(repaired.text).isRepaired]).toEqual([200, true]);
  expect(Object.keys(shelf(closed)).length).toBe(3);
});

test.each([
  ["/?job=rebalance", "[]", /a JSON object, as a job remembers it/],
  ["/?job=rebalance", '{"begun":5}', /a JSON object, as a job remembers it/],
  ["/?job=rebuild", "{}", /no job "rebuild"/],
  ["/live?rebalance&rate=0", "", /rate is a whole number/],
  ["/live?rebalance&rate=1.5", "", /rate is a whole number/],
])("what no job asks is refused: POST %s with %p", async (target, body, why) => {
  const { status, text } = await cluster.ask("POST", target, { body });
  expect([status, text]).toEqual([400, expect.stringMatching(why)]);
});

test("from the page of a browser no job is asked for: 403, and nothing is done", async () => {
  await cluster.store("/paged");
  damage(fileOf(cluster, "/paged", homeOf(cluster, "/paged", 3)[0]!), "missing");
  const adopt = `/?adopt=${cluster.addresses[0]}`;
  for (const Origin of ["http://evil.example", `http://localhost:${cluster.master.port}`, "null"])
    for (const target of ["/paged?examine&repair", "/paged?rebalance", adopt, "/?job=verify"]) {
      const { status, text } = await cluster.ask("POST", target, { headers: { Origin }, body: "{}" });
      expect([target, status, text]).toEqual([target, 403, expect.stringMatching(LINE)]);
    }
  expect(cluster.filesOf(pathOf("/paged")).length).toBe(2);
  expect((await cluster.ask("POST", "/paged?examine&repair")).status).toBe(200);
  expect(cluster.filesOf(pathOf("/paged")).length).toBe(3);
});

test("bodies of jobs that come slowly take no more memory than a bound: further ones get 503 until they are over", async () => {
  await using one = await startCluster({ volumes: 1, flags: ["-replicas", "1", "-threads", "1"] });
  using slow = new DisposableStack();
  for (let i = 0; i < 8; i++) {
    const wire = slow.use(await dial(one.master.port));
    const headers = { "Content-Length": String(8 * 1024 * 1024) };
    wire.write(head({ method: "POST", target: "/?records", headers }, { close: false }));
  }
  const status = async () => (await one.ask("POST", "/?records", { body: '["/live"]' })).status;
  await until(async () => (await status()) === 503, { what: "a further one is refused" });
  slow.dispose();
  await until(async () => (await status()) === 200, { what: "there is room again" });
});
