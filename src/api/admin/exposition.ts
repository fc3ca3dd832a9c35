// Owns the text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats
import { type Measured } from "../../metrics";

export const expositionType = "text/plain; version=0.0.4; charset=utf-8";

/** These metrics as text: each with HELP and TYPE, buckets cumulated. */
export function expose(metrics: readonly Measured[]): string {
  return metrics.map(linesOf).join("");
}

function linesOf({ name, help, type, labels, bounds, series }: Measured): string {
  let text = `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n`;
  for (const { values, numbers } of series) {
    const pairs = labels.map((label, i) => `${label}="${escape(values[i] ?? "").replaceAll('"', '\\"')}"`);
    const add = (suffix: string, number: number, ...more: string[]) => {
      const all = [...pairs, ...more].join(",");
      text += `${name}${suffix}${all && `{${all}}`} ${show(number)}\n`;
    };
    if (type !== "histogram") {
      add("", numbers[0]!);
      continue;
    }
    let count = 0;
    for (const [i, bound] of [...bounds, Number.POSITIVE_INFINITY].entries())
      add("_bucket", (count += numbers[i]!), `le="${show(bound)}"`);
    add("_sum", numbers.at(-1)!);
    add("_count", count);
  }
  return text;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function show(number: number): string {
  if (Number.isFinite(number)) return String(number);
  return Number.isNaN(number) ? "NaN" : number > 0 ? "+Inf" : "-Inf";
}
