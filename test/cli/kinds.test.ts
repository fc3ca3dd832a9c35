// What the values of flags may be.
import { expect, test } from "bun:test";
import { flags } from "../../src/cli/flags";
import { daysOr0, duration, durationOr0, volumes } from "../../src/cli/kinds";

const hour = 3_600_000;

test.each([
  ["0", 0],
  ["30d", 30 * 24 * hour],
  ["1000d", 24_000 * hour],
  ["12h", 12 * hour],
  ["1h30m", 1.5 * hour],
  ["5s", 5_000],
  ["1.5d", 36 * hour],
  ["30d12h", 732 * hour],
  ["36h", 36 * hour],
])("-scrub %s is %p ms", (text, ms) => {
  expect(daysOr0.parse(text, "-scrub")).toBe(ms);
});

test.each(["", "d", "30", "-1d", "0d", "1001d", "24001h", "month"])("-scrub %p is refused", (text) => {
  expect(() => daysOr0.parse(text, "-scrub")).toThrow(
    `-scrub is a duration such as 30d, 12h or 1h30m, at most 1000d, not "${text}"`,
  );
});

test("of other flags a day is the longest, and has no letter; 0 is for those that say so", () => {
  expect([duration.parse("24h", "-linkttl"), durationOr0.parse("0", "-grace")]).toEqual([24 * hour, 0]);
  for (const text of ["1d", "25h", "0"]) expect(() => duration.parse(text, "-linkttl")).toThrow("at most 24h");
});

test("a client may not be silent for longer than a volume waits for it", () => {
  const { is } = flags.clienttimeout;
  expect(is.parse("50s", "-clienttimeout")).toBe(50_000);
  for (const text of ["51s", "1m", "0"]) expect(() => is.parse(text, "-clienttimeout")).toThrow("at most 50s");
});

test.each([
  ["a:1,b", '-volumes: "b" is not host:port or host:port/path'],
  ["a:1,,b:1", '-volumes: "" is not host:port or host:port/path'],
  ["a:1,b:1,a:1", "-volumes names a:1 twice"],
])("-volumes %s is refused", (text, why) => {
  expect(() => volumes.parse(text, "-volumes")).toThrow(why);
});
