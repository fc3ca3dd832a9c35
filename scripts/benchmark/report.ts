// Owns what is written down: bench.json and bench.svg. Neither names a folder of the machine.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import pkg from "../../package.json";
import { chartOf } from "./chart";
import { type Options } from "./options";
import { type Row, isMet, median, ratioOf } from "./row";
import { type Sizes } from "./sizes";

/** Writes the files of a report into this folder. */
export function writeReport(
  folder: string,
  rows: readonly Row[],
  { options, sizes }: { options: Options; sizes: Sizes },
): void {
  mkdirSync(folder, { recursive: true });
  const machine = describeMachine();
  const { tiny, scale, runs, flags } = options;
  const report = {
    mkv: pkg.version,
    date: new Date().toISOString(),
    machine,
    options: { tiny, scale, runs, flags },
    sizes,
    rows: rows.map((row) => ({
      ...row,
      median: row.values.length > 0 ? median(row.values) : null,
      ratio: ratioOf(row) ?? null,
      met: isMet(row) ?? null,
    })),
  };
  writeFileSync(join(folder, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
  const subtitle = `mkv ${pkg.version}, ${machine.cores} cores of ${machine.cpu}, Linux ${machine.kernel}, Bun ${Bun.version}`;
  writeFileSync(join(folder, "bench.svg"), chartOf(rows, `${subtitle}${tiny ? " (tiny: measures nothing)" : ""}`));
}

function describeMachine() {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    load: loadavg(),
    kernel: release(),
    bun: Bun.version,
    nginx: /nginx\/([\d.]+)/.exec(Bun.spawnSync(["nginx", "-v"]).stderr.toString())?.[1],
  };
}
