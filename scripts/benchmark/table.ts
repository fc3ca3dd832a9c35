// Owns the table that is printed.
import { type Row, isMet, isTime, median, ratioOf } from "./row";

const headings = ["workload", "program", "result", "yardstick", "ratio", "target", "", "RSS peak", "after", "own"];

/**
 * The rows as a table of text: medians, with the least and the most in brackets. The last columns are the memory of the
 * master at its peak and when all was over, and how much of the latter is not mapped files.
 */
export function tableOf(rows: readonly Row[]): string {
  const lines = [headings, ...rows.map(cellsOf)];
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  const [head, ...body] = lines.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
  return [head, widths.map((width) => "-".repeat(width)).join("  "), ...body].join("\n");
}

/** A number with as many digits as it deserves. */
export function shown(number: number): string {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function cellsOf(row: Row): string[] {
  const ratio = ratioOf(row);
  const room = row.peakTargetBytes === undefined ? "" : `, ${megabytes(row.peakTargetBytes)}`;
  const target = `${isTime(row) ? "at most" : "at least"} ${row.target.toFixed(2)}${room}`;
  if (ratio === undefined) return [row.title, row.program, row.skipped ?? "", "", "", target, "-", "", "", ""];
  const { memory, yardstick } = row;
  return [
    row.title,
    row.program,
    spread(row.values, row.unit),
    `${spread(yardstick.values, row.unit)}: ${yardstick.title}`,
    ratio.toFixed(2),
    target,
    isMet(row) ? "met" : "MISSED",
    ...[memory?.peakBytes, memory?.nowBytes, memory?.ownBytes].map(megabytes),
  ];
}

function spread(values: readonly number[], unit: string): string {
  const text = `${shown(median(values))} ${unit}`;
  return values.length === 1 ? text : `${text} (${shown(Math.min(...values))}..${shown(Math.max(...values))})`;
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? "" : `${Math.round(bytes / 1e6)} MB`;
}
