// The strict reader reads what is right, and finds each mistake.
import { expect, test } from "bun:test";
import { fallen, readExposition, sampleOf } from "./exposition";

const counter = "# HELP a_total A.\n# TYPE a_total counter\n";
const histogram = "# HELP h H.\n# TYPE h histogram\n";

test("labels with quotes, backslashes and line breaks are one series each", () => {
  const text = `${counter}a_total{x="\\"",y="\\\\\\n"} 1\na_total{x=""} 2.5e-7\n`;
  const read = readExposition(text);
  expect([...read.samples]).toEqual([
    ['a_total{x="\\"",y="\\\\\\n"}', 1],
    ['a_total{x=""}', 2.5e-7],
  ]);
});

test.each([
  ["no end", `${counter}a_total 1`],
  ["a blank line", `${counter}\na_total 1\n`],
  ["no HELP", "# TYPE a_total counter\na_total 1\n"],
  ["no TYPE", "# HELP a_total A.\na_total 1\n"],
  ["HELP twice", `${counter}a_total 1\n${counter}`],
  ["a series twice", `${counter}a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 1\n`],
  ["a label twice", `${counter}a_total{x="1",x="2"} 1\n`],
  ["a line break in a label", `${counter}a_total{x="\n"} 1\n`],
  ["an escape that is none", `${counter}a_total{x="\\t"} 1\n`],
  ["a quote that is not escaped", `${counter}a_total{x="""} 1\n`],
  ["no number", `${counter}a_total many\n`],
  ["a metric within another", `${counter}b_total 1\n`],
  ["a counter with a bad name", "# HELP a A.\n# TYPE a counter\na 1\n"],
  ["buckets that fall", `${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`],
  ["no last bucket", `${histogram}h_bucket{le="1"} 2\nh_sum 1\nh_count 2\n`],
  ["a count that is not its last bucket", `${histogram}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`],
  ["no sum", `${histogram}h_bucket{le="+Inf"} 1\nh_count 1\n`],
])("%s is an error", (_, text) => {
  expect(() => readExposition(text)).toThrow();
});

test("counters that fell or went are found, gauges may fall", () => {
  const gauge = "# HELP g G.\n# TYPE g gauge\n";
  const before = readExposition(`${counter}a_total{x="1"} 5\na_total{x="2"} 5\n${gauge}g 5\n`);
  const after = readExposition(`${counter}a_total{x="1"} 4\n${gauge}g 4\n`);
  expect(fallen(before, after)).toEqual(['a_total{x="1"}', 'a_total{x="2"}']);
  expect(sampleOf(after, "g")).toBe(4);
});
