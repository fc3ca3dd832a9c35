// What a store counts can be read by Prometheus, is right over all threads, and is told at once whatever is slow.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, renameSync, rmSync } from "node:fs";
import { fallen, sampleOf, sumOf } from "../support/exposition";
import { request } from "../support/http";
import { runMkv } from "../support/master";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { type Operated, startOperated } from "./operated";

setDefaultTimeout(60_000);
let store: Operated;
beforeAll(async () => {
  store = await startOperated({ flags: ["-threads", "2", "-voltimeout", "500ms"] });
});
afterAll(() => store[Symbol.asyncDispose]());

/** The names that others rely on; those of disks are where a volume tells of them. */
const NAMES = [
  ...["mkv_requests_total", "mkv_request_seconds", "mkv_received_bytes_total", "mkv_sent_bytes_total"],
  ...["mkv_volume_up", "mkv_volume_settled", "mkv_volume_full", "mkv_volume_requests_total"],
  ...[
    "mkv_volume_request_seconds",
    "mkv_claims_open",
    "mkv_keys_owed",
    "mkv_volumes_waited_for",
    "mkv_ledger_seconds",
    "mkv_connections",
  ],
  ...["mkv_connections_limit", "mkv_lists_open", "mkv_build_info", "process_cpu_seconds_total"],
  ...["mkv_keys_to_heal", "mkv_healed_total", "mkv_heal_failures_total", "mkv_scrub_findings_total"],
  ...["process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"],
];

/** Requests of every kind, each on a connection of its own, so that all threads get some; how many of each. */
async function ask(round: string): Promise<void> {
  const { cluster } = store;
  const keys = Array.from({ length: 20 }, (_, i) => `/${round}/${i}`);
  await Promise.all(keys.map((key) => cluster.store(key, "ten bytes.")));
  const each = async (method: string, key: string) => (await cluster.ask(method, key)).status;
  expect(new Set(await Promise.all(keys.map((key) => each("GET", key))))).toEqual(new Set([302]));
  expect(new Set(await Promise.all(keys.map((key) => each("GET", `${key}-absent`))))).toEqual(new Set([404]));
  expect(new Set(await Promise.all(keys.map((key) => each("HEAD", key))))).toEqual(new Set([302]));
  expect(new Set(await Promise.all(keys.map((key) => each("DELETE", key))))).toEqual(new Set([204]));
  expect(await each("GET", `/${round}?list`)).toBe(200);
  expect(await each("PROPFIND", "/")).toBe(405);
}

test("every request of every thread is counted once, and nothing that counts ever falls", async () => {
  await ask("a");
  const before = await store.metrics();
  await ask("b");
  const after = await store.metrics();
  expect(NAMES.filter((name) => !after.types.has(name))).toEqual([]);
  expect(fallen(before, after)).toEqual([]);
  const grown = (name: string, ...labels: string[]) => sumOf(after, name, ...labels) - sumOf(before, name, ...labels);
  const counted = (method: string, status: number) =>
    grown("mkv_requests_total", `method="${method}"`, `status="${status}"`);
  expect([counted("PUT", 201), counted("GET", 302), counted("GET", 404)]).toEqual([20, 20, 20]);
  expect([counted("HEAD", 302), counted("DELETE", 204), counted("GET", 200)]).toEqual([20, 20, 1]);
  expect(counted("other", 405)).toBe(1);
  for (const [operation, count] of Object.entries({ get: 40, head: 20, put: 20, delete: 20, list: 1, other: 1 }))
    expect([operation, grown("mkv_request_seconds_count", `operation="${operation}"`)]).toEqual([operation, count]);
  expect(grown("mkv_received_bytes_total")).toBe(200);
  expect(grown("mkv_sent_bytes_total")).toBeGreaterThan(20);
  expect(grown("mkv_ledger_seconds_count", 'operation="get"')).toBeGreaterThanOrEqual(60); // One of 16 stands for all.
  expect(grown("mkv_ledger_seconds_count", 'operation="put"')).toBeGreaterThanOrEqual(40);
  for (const volume of store.cluster.addresses) {
    const answered = [`volume="${volume}"`, 'outcome="ok"'];
    expect(grown("mkv_volume_requests_total", ...answered, 'verb="PUT"')).toBe(20);
    expect(grown("mkv_volume_requests_total", ...answered, 'verb="DELETE"')).toBe(20);
  }
  expect([sampleOf(after, "mkv_claims_open"), sampleOf(after, "mkv_keys_owed")]).toEqual([0, 0]);
  expect(sampleOf(after, "process_max_fds")).toBeGreaterThan(sampleOf(after, "process_open_fds"));
});

test("connections of clients are counted, those of all threads", async () => {
  const sockets = await Promise.all(
    Array.from({ length: 30 }, () =>
      Bun.connect({ hostname: "localhost", port: store.cluster.master.port, socket: { data() {} } }),
    ),
  );
  const counted = async () => sampleOf(await store.metrics(), "mkv_connections") >= 30;
  await until(counted, { what: "thirty connections are seen" });
  for (const socket of sockets) socket.end();
});

test("while a volume is frozen everything is answered at once, and says so; nothing is ready that is not", async () => {
  const { cluster } = store;
  const [frozen] = cluster.volumes;
  const isUp = async () => sampleOf(await store.metrics(), `mkv_volume_up{volume="${frozen!.address}"}`);
  expect([await isUp(), (await store.ask("/readyz")).status]).toEqual([1, 200]);
  await cluster.store("/left");
  const waitedFor = async () => sampleOf(await store.metrics(), "mkv_volumes_waited_for");
  expect(await waitedFor()).toBe(0);
  frozen!.freeze();
  const put = cluster.ask("PUT", "/held", { body: "x" }); // Somebody waits for it.
  await until(async () => (await isUp()) === 0, { what: "it is seen to be down" });
  expect((await cluster.ask("DELETE", "/left")).status).toBe(204);
  await until(async () => (await waitedFor()) > 0, { what: "its file there is waited for" });
  for (const path of ["/healthz", "/readyz", "/metrics", "/status"]) {
    const startMs = performance.now();
    const { status } = await store.ask(path, { timeoutMs: 2_000 });
    expect([path, status, performance.now() - startMs < 1_000]).toEqual([path, path === "/readyz" ? 503 : 200, true]);
  }
  expect((await store.ask("/readyz")).text).toMatch(
    new RegExp(`^2 of 3 volumes can be written to, a value needs 3: ${frozen!.address} is down\n$`),
  );
  const { volumes, problems, ready } = await store.status();
  expect(volumes.map(({ state }) => state)).toEqual(["down", "up", "up"]);
  expect([ready, problems.length]).toEqual([false, 2]);
  frozen!.thaw();
  await put;
  await until(async () => (await store.ask("/readyz")).status === 200, { what: "it is ready again" });
  await until(async () => (await waitedFor()) === 0, { what: "nothing is waited for any more" });
  expect((await store.status()).problems).toEqual([]);
});

test("what the last verify has found is told by kind, and how long ago that was", async () => {
  const { cluster } = store;
  await cluster.store("/lacking");
  rmSync(cluster.filesOf(pathOf("/lacking"))[0]!.file);
  expect((await runMkv(["-master", cluster.master.url, "verify"])).exitCode).toBe(1);
  const found = async (kind: string) => sumOf(await store.metrics(), "mkv_verify_findings", `kind="${kind}"`);
  await until(async () => (await found("missing")) === 1, { what: "what was found is told" });
  expect(await found("orphans")).toBe(0);
  expect(sampleOf(await store.metrics(), "mkv_verify_age_seconds")).toBeLessThan(30);
  const { verifiedAt, verifyFindings } = await store.status();
  expect([Math.abs(Date.now() / 1000 - verifiedAt) < 30, verifyFindings["missing"]]).toEqual([true, 1]);
});

test("neither port answers what is asked at the other, and the admin port changes nothing", async () => {
  const { cluster } = store;
  await cluster.store("/kept");
  for (const path of ["/metrics", "/status", "/healthz", "/readyz", "/history"])
    expect([path, (await cluster.ask("GET", path)).status]).toEqual([path, 404]);
  expect((await store.ask("/kept")).status).toBe(404);
  for (const method of ["PUT", "POST", "DELETE", "UNLINK"]) {
    const { status, headers } = await store.ask("/kept", { method });
    expect([method, status, headers.get("allow")]).toEqual([method, 405, "GET, HEAD"]);
  }
  for (const target of ["/metrics?x=1", "/metrics"])
    expect((await request(store.port, { target, method: "HEAD" })).status).toBe(200);
  expect((await cluster.ask("GET", "/kept")).status).toBe(302);
});

test("that the index was put back is a metric", async () => {
  await using operated = await startOperated();
  const { cluster } = operated;
  const isDoubtful = async () => sampleOf(await operated.metrics(), "mkv_index_doubtful");
  await cluster.store("/before");
  expect(await isDoubtful()).toBe(0);
  await cluster.master.stop();
  cpSync(cluster.db, `${cluster.db}-saved`, { recursive: true });
  await cluster.startMaster();
  await cluster.store("/since");
  await cluster.master.stop();
  rmSync(cluster.db, { recursive: true });
  renameSync(`${cluster.db}-saved`, cluster.db);
  await cluster.startMaster();
  expect(await isDoubtful()).toBe(1);
});
