// What a volume says of its disks, asked by way of nginx.
import { expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { smallDisk, whyNoDisk } from "../support/disk";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { startVolume } from "../support/volume";
import { startMkvVolume, type MkvVolume } from "./mkv-volume";

setDefaultTimeout(30_000);
const why = whyNoDisk();
if (why) console.log(`skipped: a disk of its own, since none can be mounted here (${why})`);

const get = (volume: MkvVolume, method = "GET") => request(volume.port, { method, target: "/mkv/disks" });
const disksOf = async (volume: MkvVolume) => JSON.parse((await get(volume)).text).disks;

test("a volume says of its folder and each disk in it how much there is and how much is free", async () => {
  await using volume = await startMkvVolume();
  for (const disk of ["sv0A", "sv00"])
    await request(volume.port, { method: "PUT", target: `/${disk}/ab/cd/x`, body: "x" });
  const answer = await get(volume);
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, expect.stringMatching("application/json")]);
  const { disks } = JSON.parse(answer.text);
  expect(disks.map(({ name }: { name: string }) => name)).toEqual(["", "sv00", "sv0A"]);
  for (const disk of disks) {
    const { device, bytesTotal, bytesFree, filesTotal, filesFree } = disk;
    expect(device).toBe(disks[0].device);
    expect(bytesTotal).toBeGreaterThan(bytesFree);
    expect(bytesFree).toBeGreaterThan(0);
    expect(filesTotal).toBeGreaterThanOrEqual(filesFree);
  }
});

test.skipIf(why !== undefined)("a disk of its own is told apart, and what fills it", async () => {
  await using folder = temporaryFolder();
  await using disk = smallDisk(4_000_000);
  const dir = join(folder.path, "volume");
  mkdirSync(dir);
  chownSync(disk.path, 65534, 65534);
  symlinkSync(disk.path, join(dir, "sv00"));
  await using volume = await startMkvVolume({ dir });
  const [whole, before] = await disksOf(volume);
  expect(before.device).not.toBe(whole.device);
  expect(Math.abs(before.bytesTotal - 4_000_000)).toBeLessThan(10_000);
  disk.fill(1_000_000);
  const [, after] = await disksOf(volume);
  expect([after.bytesTotal, after.bytesFree < 1_100_000, after.bytesFree > 900_000]).toEqual([
    before.bytesTotal,
    true,
    true,
  ]);
});

test("nothing else is done there, and a volume without mkv does not know", async () => {
  await using volume = await startMkvVolume();
  for (const method of ["PUT", "DELETE", "POST", "MOVE"])
    expect((await get(volume, method)).status).toBeOneOf([403, 405]);
  expect((await get(volume, "HEAD")).status).toBe(200);
  await using plain = await startVolume();
  expect((await request(plain.port, { target: "/mkv/disks" })).status).toBe(404);
});
