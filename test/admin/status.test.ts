// `mkv status` says at a glance how a store is, and by its exit code whether all is well.
import { expect, setDefaultTimeout, test } from "bun:test";
import { troublesOf } from "../../src/api/admin/status";
import { runMkv } from "../support/master";
import { freePort } from "../support/ports";
import { until } from "../support/until";
import { startOperated } from "./operated";

setDefaultTimeout(60_000);

test("all is well, exit code 0; then a volume is down, exit code 1 and which one; then all is well again", async () => {
  await using store = await startOperated({ flags: ["-minreplicas", "2"] });
  const { cluster, port } = store;
  const status = (...flags: string[]) => runMkv(["status", ...flags, "-admin", `http://localhost:${port}/`]);
  const well = await status();
  expect([well.exitCode, well.stderr]).toEqual([0, ""]);
  expect(well.stdout).toMatch(/^mkv \d+\.\d+\.\d+, 3 volumes, 3 replicas, since \S+\n\nVOLUME +STATE +FREE +DISKS\n/);
  for (const name of cluster.addresses) expect(well.stdout).toMatch(new RegExp(`^${name} +up +10$`, "m"));
  expect(well.stdout).toMatch(/^ready, 0 keys to heal, 0 keys owed, \d+ connections? of \d+$/m);
  expect(well.stdout).toEndWith("\nall is well\n");

  const [lost] = cluster.volumes;
  await lost!.kill();
  const isDown = async () => (await store.status()).volumes[0]!.state === "down";
  await until(isDown, { what: "it is seen to be down" });
  const ill = await runMkv(["status"], { env: { MKV_ADMIN: `http://localhost:${port}` } });
  expect([ill.exitCode, ill.stderr]).toEqual([1, ""]);
  expect(ill.stdout).toMatch(new RegExp(`^${lost!.address} +down +10$`, "m"));
  expect(ill.stdout).toEndWith(`\n1 problem:\n  ${lost!.address} is down\n`);

  await lost!.start();
  await until(async () => (await status()).exitCode === 0, { what: "all is well again" });
});

test("what is no admin port is one line that says what to look for, and exit code 1 or 2", async () => {
  await using store = await startOperated();
  const asked = async (...args: string[]) => await runMkv(["status", ...args]);
  const cases: [exitCode: number, args: string[], line: RegExp][] = [
    [1, ["-admin", `http://localhost:${await freePort()}`], /cannot be asked .*-adminport/],
    [1, ["-admin", store.cluster.master.url], /is no admin port of mkv/],
    [2, [], /-admin is missing \(or MKV_ADMIN\)/],
    [2, ["-admin", "localhost:3100"], /-admin is a URL/],
    [2, ["-admin", "http://localhost:3100", "now"], /"now" is one word too many/],
  ];
  for (const [exitCode, args, line] of cases) {
    const { stdout, stderr, ...outcome } = await asked(...args);
    expect([args, outcome.exitCode, stdout]).toEqual([args, exitCode, ""]);
    expect(stderr).toMatch(/^mkv: [^\n]+\n$/);
    expect(stderr).toMatch(line);
  }
});

test("jobs are told with how fast they are, and one that has done nothing of late so", async () => {
  const store = { version: "1.2.3", startedAt: "then", replicas: 1, ready: true, volumes: [], problems: [] };
  const jobs = [7.25, 0, 1234.5].map((keysPerSecond, i) => ({ name: `job-${i}`, keys: i + 1, keysPerSecond }));
  using admin = Bun.serve({ port: 0, fetch: () => Response.json({ ...store, toHeal: 0, owed: 0, jobs }) });
  const { exitCode, stdout } = await runMkv(["status", "-admin", `http://localhost:${admin.port}`]);
  const lines = ["job-0 is under way: 1 key so far, 7.3 a second", "job-1: 2 keys so far, none of late"];
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`\n${lines.join("\n")}\njob-2 is under way: 3 keys`)]);
});

test("a volume with a disk that is full and one that was swapped is told with both", () => {
  const disks = [
    { name: "sv00", state: "full" },
    { name: "sv01", state: "up" },
    { name: "sv02", state: "foreign" },
    { name: "sv03", state: "full" },
  ] as const;
  const told = troublesOf({ name: "v:1", state: "foreign", isSettled: true, disks });
  expect(told).toEqual([
    "v:1 is full (sv00, sv03)",
    expect.stringMatching(/^v:1 is not the disk it was \(sv02\): .*"mkv adopt v:1\/sv02"/),
  ]);
});
