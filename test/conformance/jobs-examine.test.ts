// What `?examine` sees of a key, and repairs: what the index says is brought about on the volumes, and no value is given up.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startLiveAndSoft, type Cluster } from "../support/cluster";
import { homeOf, indexOf } from "../support/copies";
import { damage, fileOf } from "../jobs/damage";
import { shelf } from "../jobs/job";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const LINE = /^[^\n]{5,}\n?$/;
let cluster: Cluster;

beforeAll(async () => void (cluster = await startLiveAndSoft()));
afterAll(() => cluster[Symbol.asyncDispose]());

interface Examined {
  findings: { problem: string; line: string }[];
  isRepaired: boolean;
  failure?: string;
}

/** The JSON that a POST is answered with. */
async function post(target: string): Promise<Examined> {
  const { status, text } = await cluster.ask("POST", target);
  if (status !== 200) throw new Error(`POST ${target}: ${status} ${text}`);
  return JSON.parse(text);
}

const well = { findings: [], isRepaired: false };

/** A finding of this kind. */
const finding = (problem: string) => ({ problem, line: expect.stringMatching(LINE) });

test("an examination tells what is wrong with a key, and changes nothing", async () => {
  for (const key of ["/live", "/soft", "/absent"]) expect(await post(`${key}?examine&md5`)).toEqual(well);
  await cluster.store("/amiss");
  const volume = homeOf(cluster, "/amiss")[1]!;
  const file = fileOf(cluster, "/amiss", volume);
  damage(file, "flipped");
  const flipped = shelf(cluster);
  expect(await post("/amiss?examine")).toEqual(well);
  const { findings } = await post("/amiss?examine&md5");
  expect(findings).toEqual([finding("damaged")]);
  expect(findings[0]!.line).toContain(volume);
  expect(shelf(cluster)).toEqual(flipped);
  damage(file, "missing");
  const missing = shelf(cluster);
  expect(await post("/amiss?examine")).toEqual({ findings: [finding("missing")], isRepaired: false });
  expect(shelf(cluster)).toEqual(missing);
  expect((await cluster.ask("DELETE", "/amiss")).status).toBe(204);
});

test.each([
  ["flipped", "&md5", "damaged"],
  ["shortened", "", "damaged"],
  ["emptied", "", "damaged"],
  ["missing", "", "missing"],
] as const)("a copy that is %s is repaired if asked for, and once only", async (how, depth, problem) => {
  await cluster.store("/mended");
  const whole = shelf(cluster);
  damage(fileOf(cluster, "/mended", homeOf(cluster, "/mended")[0]!), how);
  const repaired = { findings: [finding(problem)], isRepaired: true };
  expect(await post(`/mended?examine&repair${depth}`)).toEqual(repaired);
  expect(shelf(cluster)).toEqual(whole);
  expect(await post(`/mended?examine&repair${depth}`)).toEqual(well);
  expect((await cluster.ask("DELETE", "/mended")).status).toBe(204);
});

test("an unlinked key is kept while a volume has a copy, or does not answer, and dropped when all have none", async () => {
  await cluster.store("/left");
  await cluster.ask("UNLINK", "/left");
  const whole = shelf(cluster);
  const [first, ...others] = homeOf(cluster, "/left");
  for (const volume of others) damage(fileOf(cluster, "/left", volume), "missing");
  expect(await post("/left?examine&repair")).toMatchObject({ isRepaired: true });
  expect(shelf(cluster)).toEqual(whole);
  for (const volume of [first!, ...others]) damage(fileOf(cluster, "/left", volume), "missing");
  const server = cluster.volumes[indexOf(cluster, first!)]!;
  await server.kill();
  const unsure = await post("/left?examine&repair&forget");
  expect(unsure).toMatchObject({ isRepaired: false, failure: expect.stringMatching(LINE) });
  expect(unsure.findings).toContainEqual(finding("unknown"));
  await server.restart();
  await cluster.recovered();
  expect(await post("/left?examine")).toEqual({ findings: [finding("unfinished")], isRepaired: false });
  expect(await cluster.keys("unlinked", "/left")).toEqual(["/left"]);
  expect(await post("/left?examine&repair")).toMatchObject({ isRepaired: false }); // Only who has seen all files says so.
  expect(await post("/left?examine&repair&forget")).toMatchObject({ isRepaired: true });
  expect(await cluster.keys("unlinked", "/left")).toEqual([]);
  expect(await post("/left?examine&repair&forget")).toEqual(well); // There is nothing any more.
});

test("a live key without any copy is not dropped, and the repair says why it fails", async () => {
  const isHome = async () => {
    await cluster.store("/bereft");
    if ((await cluster.ask("GET", "/bereft")).headers.get("key-balance") === "balanced") return true;
    await cluster.ask("DELETE", "/bereft");
    return false;
  };
  await until(isHome, { what: "all volumes are written to again" });
  for (const volume of homeOf(cluster, "/bereft")) damage(fileOf(cluster, "/bereft", volume), "missing");
  const findings = Array(3).fill(finding("missing"));
  expect(await post("/bereft?examine&repair")).toEqual({
    findings,
    isRepaired: false,
    failure: expect.stringMatching(LINE),
  });
  expect(await cluster.keys("list", "/bereft")).toEqual(["/bereft"]);
  expect((await cluster.ask("DELETE", "/bereft")).status).toBe(204);
});
