// The bench in its tiny size, a workload of each kind, so that it cannot rot.
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Folder, temporaryFolder } from "./support/folder";
import { RunningProcess } from "./support/process";
import { within } from "./support/until";
import { CHECKOUT } from "./support/volume";

const TIMEOUT_MS = 180_000;
const TITLES = [
  "GET of absent keys, one thread",
  "PUT, GET, DELETE",
  "one large PUT, 4 MB",
  "rebuild, small folders",
  "rebalance, 1 kB values",
  "?list of all keys",
  "index of 50,000: start",
  "index of 50,000: absent keys",
  "index of 50,000: present keys",
];

/** The bench, at work below a folder. */
function startBench({ path }: Folder, options: string[]): RunningProcess {
  mkdirSync(join(path, "tmp"));
  const binary = process.env.MKV;
  return new RunningProcess({
    command: [join(CHECKOUT, "scripts", "bench"), "--tiny", "--out", join(path, "out"), ...options],
    env: { TMPDIR: join(path, "tmp"), ...(binary && { MKV: resolve(binary) }) },
  });
}

test(
  "the bench measures workloads of each kind and writes a table, JSON and a chart",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--only", "absent,rounds,upload,rebuild,rebalance,list,index"]);
    const code = await within(bench.exited, { what: "the bench ends", deadlineMs: TIMEOUT_MS - 2_000 });
    expect({ code, stderr: bench.stderr }).toMatchObject({ code: 0 });

    const lines = bench.stdout.split("\n");
    for (const title of TITLES) {
      const cells = lines.find((line) => line.startsWith(`${title}  `))?.split(/\s{2,}/) ?? [title];
      expect(cells.slice(0, 2)).toEqual([title, "mkv"]);
      expect(cells[2]).toMatch(/^[\d,.]+ \w+/); // Measured, not skipped.
      expect(cells[4]).toMatch(/^\d+\.\d\d$/);
    }
    const { rows } = JSON.parse(readFileSync(join(folder.path, "out", "bench.json"), "utf8"));
    expect(rows.map(({ title }: { title: string }) => title)).toEqual(TITLES);
    const chart = readFileSync(join(folder.path, "out", "bench.svg"), "utf8");
    expect(chart.match(/<rect /g)).toHaveLength(TITLES.length);
    expect(readdirSync(join(folder.path, "tmp"))).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a bench that is interrupted leaves nothing behind",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--only", "rounds,index"]);
    await bench.says(/run 1: /);
    expect(await bench.end("SIGINT")).toBe(130);
    expect(readdirSync(join(folder.path, "tmp"))).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "the bench says what is wrong with its options",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--only", "nothing"]);
    expect(await bench.exited).toBe(2);
    expect(bench.stderr.trimEnd()).toEndWith("bench: there is no workload nothing: see scripts/bench --help");
  },
  TIMEOUT_MS,
);
