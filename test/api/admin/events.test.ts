// A job that works through a master is told of when it begins, and when nothing more has come of it for a while; so is a disk
// that takes no writes.
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { JobWatch, stateLog } from "../../../src/api/admin/events";
import { type Measured } from "../../../src/metrics";
import { type VolumeReport } from "../../../src/volumes/report";
import { textOf } from "../../support/events";

const said: string[] = [];
let nowMs = 0;
let mocks: { mockRestore(): void }[] = [];
beforeEach(() => {
  said.length = 0;
  nowMs = 1000;
  const write = (line: string) => said.push(textOf(String(line).trimEnd())) > 0;
  mocks = [
    spyOn(performance, "now").mockImplementation(() => nowMs),
    spyOn(process.stderr, "write").mockImplementation(write as never),
  ];
});
afterEach(() => mocks.forEach((mock) => mock.mockRestore()));

/** What is told after so many keys, of which so many are in hand. */
function counted(keys: number, inHand = 0): Measured[] {
  const metric = { help: "", labels: ["job"], bounds: [] } as const;
  const series = (number: number) => [{ values: ["rebalance"], numbers: [number] }];
  return [
    { ...metric, name: "mkv_job_keys_total", type: "counter", series: series(keys) },
    { ...metric, name: "mkv_job_keys_in_hand", type: "gauge", series: series(inHand) },
  ];
}

test("a job begins with its first key, goes on through pauses, and has ended after thirty seconds without one", () => {
  const watch = new JobWatch();
  const look = (seconds: number, keys: number) => {
    nowMs = seconds * 1000;
    watch.look(counted(keys));
  };
  look(2, 0);
  expect([watch.running, said]).toEqual([[], []]);
  look(7, 100);
  look(12, 200);
  expect(watch.running).toEqual([{ name: "rebalance", keys: 200, keysPerSecond: 20 }]);
  look(40, 200);
  look(41, 201);
  look(70, 201);
  expect(watch.running).toEqual([{ name: "rebalance", keys: 201, keysPerSecond: 0 }]);
  look(72, 201);
  expect(watch.running).toEqual([]);
  expect(said).toEqual([
    "rebalance through this master has begun",
    "rebalance through this master has ended: it asked about 201 keys",
  ]);
});

test("a job has not ended while one of its keys is being moved, however long that takes", () => {
  const watch = new JobWatch();
  const look = (seconds: number, inHand: number) => {
    nowMs = seconds * 1000;
    watch.look(counted(1, inHand));
  };
  for (const seconds of [2, 60, 600]) look(seconds, 1);
  look(610, 0);
  expect(said).toEqual(["rebalance through this master has begun"]);
  look(631, 0);
  expect(said[1]).toBe("rebalance through this master has ended: it asked about 1 key");
});

test("a disk that is full is told of once, and that it is back when it was not full for half a minute", () => {
  const look = stateLog();
  const seen = (seconds: number, ...states: VolumeReport["state"][]) => {
    nowMs = seconds * 1000;
    const disks = states.map((state, i) => ({ name: `sv0${i}`, state }));
    look([{ name: "a:1", state: "full", isSettled: true, disks }]);
  };
  seen(1, "up", "full");
  seen(2, "full", "full");
  seen(3, "full", "up");
  seen(20, "up", "up");
  seen(33, "up", "up");
  expect(said).toHaveLength(2);
  seen(34, "up", "up");
  seen(35, "up", "full");
  expect(said).toEqual([
    expect.stringMatching(/^a:1 is full or cannot be written to \(sv01\): make room/),
    expect.stringMatching(/^a:1 is full or cannot be written to \(sv00, sv01\): /),
    "a:1 is back: it is not full any more",
    expect.stringMatching(/^a:1 is full or cannot be written to \(sv01\): /),
  ]);
});
