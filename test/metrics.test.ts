// What is counted is counted once, whoever counts it, and costs next to nothing.
import { expect, test } from "bun:test";
import { inThread } from "../src/cli/threads";
import { counter, counters, gauge, histograms, readMetrics } from "../src/metrics";

/** The numbers of a metric, by the values of its labels. */
function seriesOf(name: string): Record<string, readonly number[]> {
  const metric = readMetrics().find((metric) => metric.name === name);
  return Object.fromEntries(metric!.series.map(({ values, numbers }) => [values.join(" "), numbers]));
}

test("a counter is there from the beginning, and grows by what it is given", () => {
  const made = counter("test_made_total", "Made.");
  expect(seriesOf("test_made_total")).toEqual({ "": [0] });
  made.add();
  made.add(41);
  expect(seriesOf("test_made_total")).toEqual({ "": [42] });
});

test("the same labels are the same counter, others are another, whatever is in their values", () => {
  const odd = counters("test_odd_total", "Odd.", ["a", "b"]);
  odd.of('"\n', "x").add();
  odd.of('"\n', "x").add();
  odd.of("é", "\\").add(5);
  expect(seriesOf("test_odd_total")).toEqual({ '"\n x': [2], "é \\": [5] });
});

test("a value falls into the lowest bucket that it is not above, and into the sum", () => {
  const seconds = histograms("test_seconds", "Seconds.", ["of"]).of("test");
  for (const value of [0, 0.0001, 0.00011, 31]) seconds.observe(value);
  const numbers = seriesOf("test_seconds")["test"]!;
  expect(numbers.slice(0, 3)).toEqual([2, 1, 0]);
  expect(numbers.slice(-2)).toEqual([1, 31.00021]);
});

test("a value that was looked at for many counts as many", () => {
  const seconds = histograms("test_sampled_seconds", "Seconds.", []).of();
  seconds.observe(0.002, 16);
  expect(seriesOf("test_sampled_seconds")[""]!.filter((number) => number > 0)).toEqual([16, 0.032]);
});

test("what several threads count is added up, also what one has counted before it joined, and after it has ended", async () => {
  const all = counters("test_threads_total", "Counted in several threads.", ["who"]).of("all");
  const level = gauge("test_level", "Said by several threads.");
  all.add(10);
  level.set(2);
  const entry = new URL("metrics.worker.ts", import.meta.url).href;
  const said: unknown[] = [];
  const stop = new AbortController().signal;
  const start = (number: number) => inThread(number, { entry, task: {}, stop, onSaid: (text) => void said.push(text) });
  await Promise.all([start(1), start(2)]);
  expect(said).toEqual(["counted", "counted"]);
  expect(seriesOf("test_threads_total")).toEqual({ all: [2012], worker: [14] });
  expect(seriesOf("test_level")).toEqual({ "": [8] });
});

test("however many volumes there are, others are still counted", () => {
  const ofVolumes = counters("test_volumes_total", "Of volumes.", ["volume"]);
  for (let n = 0; n < 20_000; n++) ofVolumes.of(`v${n}:3001`).add();
  const late = counters("test_late_total", "Late.", ["n"]);
  for (let n = 0; n < 1000; n++) late.of(String(n)).add();
  expect(Object.keys(seriesOf("test_volumes_total")).length).toBeLessThan(20_000);
  expect(Object.keys(seriesOf("test_late_total")).length).toBe(1000);
});

test("what there is no room for is not shown but as a number, and changes nothing else", () => {
  const before = readMetrics();
  const many = histograms("test_many_seconds", "Many.", ["n"]);
  for (let n = 0; n < 2000; n++) many.of(String(n)).observe(1);
  expect(Object.values(seriesOf("test_many_seconds")).every((numbers) => numbers.at(-1) === 1)).toBe(true);
  expect(Object.keys(seriesOf("test_many_seconds")).length).toBeLessThan(1000);
  const isOther = ({ name }: { name: string }) => name !== "test_many_seconds" && name !== "mkv_series_left_out_total";
  expect(readMetrics().filter(isOther)).toEqual(before.filter(isOther));
  expect(seriesOf("mkv_series_left_out_total")[""]![0]).toBeGreaterThan(1000);
});

test("a request costs well under a microsecond to count", () => {
  const requests = counters("test_cost_total", "Cost.", []).of();
  const seconds = histograms("test_cost_seconds", "Cost.", []).of();
  const turn = (times: number) => {
    const startMs = performance.now();
    for (let i = 0; i < times; i++) {
      requests.add();
      seconds.observe(0.0003);
    }
    return ((performance.now() - startMs) * 1e6) / times;
  };
  const nanoseconds = Array.from({ length: 10 }, () => turn(100_000));
  expect(Math.min(...nanoseconds)).toBeLessThan(200);
});
