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
  "PUT, GET, DELETE of 1 kB, 16 clients",
  "PUT of 4 MB",
  "?list of 1,000 keys out of 10,000",
  "?list of 10,000 keys",
  "rebuild, small folders",
  "rebalance of 1 kB values",
  "index of 50,000 keys: GET of absent keys",
  "index of 50,000 keys: GET of present keys, -probe volume",
  "index of 50,000 keys: start",
];

/** A row of bench.json, as far as it is looked at. */
interface Row {
  title: string;
  sides: { name: string; rate: { median: number }; ratios: Record<string, { speed: { median: number } }> }[];
}

/** The bench, at work below a folder. */
function startBench({ path }: Folder, options: string[]): RunningProcess {
  mkdirSync(join(path, "tmp"));
  const binary = process.env.MKV;
  return new RunningProcess({
    command: [join(CHECKOUT, "scripts", "bench"), "--tiny", "--out", join(path, "out"), ...options],
    env: { TMPDIR: join(path, "tmp"), ...(binary && { MKV: resolve(binary) }) },
  });
}

test.concurrent(
  "the bench measures workloads of each kind and writes a table and JSON",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--only", "absent,rounds,upload,rebuild,rebalance,list,index"]);
    const code = await within(bench.exited, { what: "the bench ends", deadlineMs: TIMEOUT_MS - 2_000 });
    expect({ code, stderr: bench.stderr }).toMatchObject({ code: 0 });

    const { rows } = JSON.parse(readFileSync(join(folder.path, "out", "bench.json"), "utf8")) as { rows: Row[] };
    expect(rows.map(({ title }) => title)).toEqual(TITLES);
    for (const { title, sides } of rows) {
      const [yardstick, own] = sides as [Row["sides"][0], Row["sides"][0]];
      expect([own.name, sides.length]).toEqual(["mkv", 2]);
      const ratio = own.ratios[yardstick.name]!.speed.median;
      expect(ratio * yardstick.rate.median).toBeCloseTo(own.rate.median);
      const paragraph = bench.stdout.split("\n\n").find((text) => text.startsWith(title) && !text.includes("run 1:"));
      expect(paragraph).toMatch(new RegExp(`\\n  mkv +[\\d,.]+ \\S+ .* ${ratio.toFixed(2)} `));
    }
    expect(readdirSync(join(folder.path, "tmp"))).toEqual([]);
  },
  TIMEOUT_MS,
);

test.concurrent(
  "the bench makes a large index, keeps it, and measures a master over it",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--scale", "0.002", "--keep", join(folder.path, "keep")]);
    expect({ code: await bench.exited, stderr: bench.stderr }).toMatchObject({ code: 0 });
    const { scale } = JSON.parse(readFileSync(join(folder.path, "out", "bench.json"), "utf8"));
    expect(scale).toMatchObject([{ title: "2,000 keys over LevelDB" }]);
    expect(Object.entries(scale[0].figures).filter(([, figure]) => !(Number(figure) > 0))).toEqual([]);
    expect(bench.stdout).toMatch(/\n {2}verify, keys\/s +[\d,.]+\n/);
    expect(readdirSync(join(folder.path, "keep"))).toContain("level-2000");
    expect(readdirSync(join(folder.path, "tmp"))).toEqual([]);
  },
  TIMEOUT_MS,
);

test.concurrent(
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

test.concurrent(
  "the bench says what is wrong with its options",
  async () => {
    await using folder = temporaryFolder();
    await using bench = startBench(folder, ["--only", "nothing"]);
    expect(await bench.exited).toBe(2);
    expect(bench.stderr.trimEnd()).toEndWith("bench: there is no workload nothing: see scripts/bench --help");
  },
  TIMEOUT_MS,
);
