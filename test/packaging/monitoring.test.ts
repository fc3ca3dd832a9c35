// The alerts and the dashboard ask only for what a master tells, and Prometheus understands them.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { operated } from "../admin/operated";
import { startMkvVolume } from "../durability/mkv-volume";
import { Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { runMkv } from "../support/master";
import { freePort } from "../support/ports";
import { until } from "../support/until";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
const fileOf = (name: string) => join(CHECKOUT, "packaging", name);
const rules = Bun.YAML.parse(readFileSync(fileOf("prometheus/mkv.rules.yml"), "utf8")) as {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
};
const dashboard = JSON.parse(readFileSync(fileOf("grafana/mkv.json"), "utf8")) as {
  panels: { targets: { expr: string }[] }[];
};
const expressions = [
  ...rules.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)),
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
];

test("every metric that an alert or a chart asks for is one that a master tells", async () => {
  await using held = new AsyncDisposableStack();
  const folder = held.use(temporaryFolder());
  const volume = held.use(await startMkvVolume()); // Which tells of its disks.
  const port = await freePort();
  const flags = ["-adminport", String(port), "-replicas", "1"];
  const index = join(folder.path, "index");
  const cluster = held.use(new Cluster([volume], index, flags, undefined, new AsyncDisposableStack()));
  await cluster.startMaster();
  await cluster.store("/asked");
  const store = operated(cluster, port);
  expect((await runMkv(["-master", cluster.master.url, "verify"])).exitCode).toBe(0); // Of which there are metrics, too.
  let text = "";
  const isComplete = async () => {
    text = (await store.ask("/metrics")).text;
    return /^mkv_disk_free_bytes\{/m.test(text) && /^mkv_verify_age_seconds /m.test(text);
  };
  await until(isComplete, { what: "disks and verify are known", deadlineMs: 20_000 });
  const told = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]));
  const asked = expressions.flatMap((expression) => expression.match(/\b(mkv|process)_\w+/g) ?? []);
  const unknown = asked.filter((name) => !told.has(name) && told.get(name.replace(/_bucket$/, "")) !== "histogram");
  expect(unknown).toEqual([]);
  expect(asked.length).toBeGreaterThan(20);
});

const hasPromtool = Bun.which("promtool") !== null;
if (!hasPromtool) console.log("skipped: what promtool thinks of the alerts (Debian's prometheus is not installed)");

test.skipIf(!hasPromtool)("promtool finds the rules well formed, and they fire when they should", () => {
  for (const args of [
    ["check", "rules", "mkv.rules.yml"],
    ["check", "config", "prometheus.yml"],
    ["test", "rules", "mkv.rules.test.yml"],
  ]) {
    const { exitCode, stderr } = Bun.spawnSync(["promtool", ...args], { cwd: fileOf("prometheus") });
    expect([args, exitCode, stderr.toString()]).toEqual([args, 0, ""]);
  }
});
