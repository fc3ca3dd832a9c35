// Owns the chart: for each row a bar as long as the program is fast in comparison to its yardstick.
import { type Row, isMet, speedOf, wantedSpeedOf } from "./row";

const width = 900;
const labelWidth = 300;
const valueWidth = 60;
const barHeight = 18;
const rowHeight = 26;
const top = 60;
const most = 2; // Longer bars are cut off.

/** The rows as an SVG; it takes the colours of the page it is shown on, light or dark. */
export function chartOf(rows: readonly Row[], subtitle: string): string {
  const shown = rows.filter((row) => speedOf(row) !== undefined);
  const height = top + shown.length * rowHeight + 20;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<style>text{fill:#222}.axis{stroke:#999}.met{fill:#3a7d44}.missed{fill:#b5543c}.target{stroke:#222}`,
    `@media(prefers-color-scheme:dark){text{fill:#ddd}.target{stroke:#ddd}}</style>`,
    `<text x="10" y="20" font-size="16">Speed in comparison to the yardstick (1 = as fast; tick = target)</text>`,
    `<text x="10" y="40">${escaped(subtitle)}</text>`,
    ...[0, 0.5, 1, 1.5, 2].map((speed) => axis(speed, height)),
    ...shown.map((row, i) => bar(row, top + i * rowHeight)),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

function bar(row: Row, y: number): string {
  const speed = speedOf(row)!;
  const end = at(Math.min(speed, most));
  const tick = at(Math.min(wantedSpeedOf(row), most));
  const label = row.program === "mkv" ? row.title : `${row.title} (${row.program})`;
  const middle = y + barHeight - 5;
  return [
    `<text x="${labelWidth - 10}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${isMet(row) ? "met" : "missed"}" x="${at(0)}" y="${y}" width="${end - at(0)}" height="${barHeight}"/>`,
    `<line class="target" x1="${tick}" x2="${tick}" y1="${y - 3}" y2="${y + barHeight + 3}" stroke-width="2"/>`,
    `<text x="${end + 6}" y="${middle}">${speed.toFixed(2)}</text>`,
  ].join("\n");
}

function axis(speed: number, height: number): string {
  const x = at(speed);
  return [
    `<line class="axis" x1="${x}" x2="${x}" y1="${top - 6}" y2="${height - 18}" stroke-width="0.5"/>`,
    `<text x="${x}" y="${height - 5}" text-anchor="middle" font-size="11">${speed}</text>`,
  ].join("\n");
}

function at(speed: number): number {
  return Math.round(labelWidth + (speed / most) * (width - labelWidth - valueWidth));
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
