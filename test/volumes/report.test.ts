// An operator sees of each volume the worst that is so, and on which of its disks.
import { expect, test } from "bun:test";
import { reportOf } from "../../src/volumes/report";
import { Volumes } from "../../src/volumes/volumes";
import { settings } from "./watch";

const names = ["a:1", "b:1", "c:1", "d:1"];
const volumesWith = (subvolumes: number) => Volumes.of({ volumes: names, replicas: 3, subvolumes }, settings);

test("a volume is what the worst of its disks is: down before foreign before full before up", () => {
  const volumes = volumesWith(3);
  const { health } = volumes.client;
  health.full("b:1/sv01");
  health.full("c:1/sv00");
  health.setForeign("c:1/sv02", true);
  health.setForeign("d:1", true);
  health.lost("d:1");
  const reports = reportOf(volumes);
  expect(reports.map(({ name, state }) => `${name} ${state}`)).toEqual([
    "a:1 up",
    "b:1 full",
    "c:1 foreign",
    "d:1 down",
  ]);
  expect(reports[2]!.disks.map(({ name, state }) => `${name} ${state}`)).toEqual([
    "sv00 full",
    "sv01 up",
    "sv02 foreign",
  ]);
  expect(reports.map(({ isSettled }) => isSettled)).toEqual([true, true, true, false]);
});

test("a volume without folders for disks is one disk without a name; so is one with more than anybody reads", () => {
  for (const subvolumes of [1, 2000]) {
    const volumes = volumesWith(subvolumes);
    volumes.client.health.full("a:1");
    expect(reportOf(volumes)[0]).toEqual({
      name: "a:1",
      state: "full",
      isSettled: true,
      disks: [{ name: "", state: "full" }],
    });
  }
});
