// Who the disks are: an empty folder or another disk in place of one is seen for what it is, and is not used.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pickVolume } from "../../src/store/find";
import { Identity } from "../../src/volumes/identity";
import { Volumes } from "../../src/volumes/volumes";
import { startVolume } from "../support/volume";
import { Memory, UUID, empty, heard, idAt, settings, watch, write } from "./watch";

setDefaultTimeout(30_000);
const said = heard();

test("at the first start every volume and every disk gets an id of its own, also where values lie already", async () => {
  await using a = await startVolume();
  await using b = await startVolume();
  write(a, "sv00/ab/cd/value", "an old value");
  const { identity, memory } = watch([a.address, b.address]);
  expect(await identity.check()).toEqual([]);
  const ids = [a, b].flatMap((volume) => ["", "sv00", "sv01"].map((disk) => idAt(volume, disk)));
  expect(ids).toEqual(ids.map(() => expect.stringMatching(UUID)));
  expect(new Set(ids).size).toBe(6);
  expect(memory.get(`${a.address}/sv00`)).toBe(idAt(a, "sv00").trimEnd());
  expect(memory.get(b.address)).toBe(idAt(b).trimEnd());
  expect(await identity.check()).toEqual([]);
  expect([a, b].flatMap((volume) => ["", "sv00", "sv01"].map((disk) => idAt(volume, disk)))).toEqual(ids);
  expect(said).toEqual([]);
});

test("without subvolumes only the volume has an id, also below a path", async () => {
  await using volume = await startVolume();
  const { identity, memory } = watch([`${volume.address}/some/where`], { subvolumes: 1 });
  await identity.check();
  expect(memory.names()).toEqual([`${volume.address}/some/where`]);
  expect(idAt(volume, "some/where")).toMatch(UUID);
  expect(existsSync(join(volume.dir, "mkv"))).toBe(false);
});

test("an id that is there already is remembered, not replaced", async () => {
  await using volume = await startVolume();
  const id = crypto.randomUUID();
  write(volume, "sv01/mkv/id", `${id}\n`);
  const { identity, memory } = watch([volume.address]);
  await identity.check();
  expect([memory.get(`${volume.address}/sv01`), idAt(volume, "sv01")]).toEqual([id, `${id}\n`]);
});

test("an emptied disk is foreign at once: one line, no write, and nothing on it counts as absent", async () => {
  await using volume = await startVolume();
  const { identity, memory, volumes } = watch([volume.address]);
  await identity.check();
  const [good, bad] = [`${volume.address}/sv00`, `${volume.address}/sv01`];
  empty(volume, "sv01");
  expect(await identity.check()).toEqual([]);
  await identity.check();
  const line = `${bad} is not the disk it was (no id): if it was replaced, run "mkv adopt ${bad}"; if it is not mounted, mount it`;
  expect(said).toEqual([line]);
  expect([volumes.health.isForeign(good), volumes.health.isForeign(bad)]).toEqual([false, true]);
  expect([volumes.health.isWritable(good), volumes.health.isWritable(bad)]).toEqual([true, false]);
  expect(await volumes.choose([bad, good], { wanted: 2, atLeast: 2 })).toEqual([good]);
  for (let i = 0; i < 20; i++) expect(pickVolume([bad, good], volumes)).toBe(good);
  const path = "/ab/cd/value";
  const upload = volumes.upload(bad, path, { bytes: 1, date: new Date().toUTCString() });
  const asks = [
    () => volumes.head(bad, path),
    () => volumes.open(bad, path),
    async () => await volumes.holds(bad, path),
    () => volumes.remove(bad, path),
    () => volumes.sync(bad, path, { expected: "gone" }),
    () => upload.finish(new Uint8Array(1)),
    () => volumes.upload(bad, path, { bytes: 1, date: "" }).write(new Uint8Array(1)),
  ];
  for (const ask of asks) await expect(ask()).rejects.toThrow(`${bad} is not used: it is not the disk it was`);
  expect(await volumes.removeAll([good, bad], path, { waitMs: 0 })).toMatchObject([{ volume: bad }]);
  expect(existsSync(join(volume.dir, "sv01", "ab"))).toBe(false);
  expect(existsSync(join(volume.dir, "sv01", "mkv"))).toBe(false);
  expect(memory.get(bad)).toMatch(/-/);
});

test.each([2, 1])(
  "so is one that -subvolumes %d does not name any more: values may lie there until a rebalance",
  async (now) => {
    await using volume = await startVolume();
    const before = watch([volume.address], { subvolumes: 4 });
    await before.identity.check();
    empty(volume, "sv03");
    const { identity, volumes } = watch([volume.address], { subvolumes: now, memory: before.memory });
    await identity.check();
    const disk = `${volume.address}/sv03`;
    expect(said).toEqual([expect.stringContaining(`${disk} is not the disk it was (no id)`)]);
    await expect(volumes.remove(disk, "/ab/cd/value")).rejects.toThrow(
      `${disk} is not used: it is not the disk it was`,
    );
    await expect(volumes.head(disk, "/ab/cd/value")).rejects.toThrow(`${disk} is not used: it is not the disk it was`);
  },
);

test.each(["emptied", "swapped"])("a disk that was %s since it was asked confirms no removal", async (how) => {
  await using volume = await startVolume();
  const { identity, volumes } = watch([volume.address]);
  await identity.check();
  const [disk, path] = [`${volume.address}/sv01`, "/ab/cd/value"];
  await volumes.remove(disk, path); // It never had it.
  if (how === "emptied") empty(volume, "sv01");
  else
    for (const [from, to] of [
      ["01", "x"],
      ["00", "01"],
      ["x", "00"],
    ] as const)
      renameSync(join(volume.dir, `sv${from}`), join(volume.dir, `sv${to}`));
  const { returns } = volumes.health;
  await expect(volumes.remove(disk, path)).rejects.toThrow(`${disk} is not used: it is not the disk it was`);
  expect([volumes.health.isForeign(disk), volumes.health.isWritable(disk)]).toEqual([true, false]);
  expect(volumes.health.returns).toBeGreaterThan(returns); // The watch asks all of them at once.
});

test("all threads see that a disk is foreign", async () => {
  await using volume = await startVolume();
  const topology = { volumes: [volume.address], replicas: 1, subvolumes: 2 };
  const shared = Volumes.share(topology);
  const identity = new Identity(Volumes.of(topology, settings, shared), new Memory());
  const other = Volumes.of(topology, settings, shared);
  await other.probeAll();
  await identity.check();
  empty(volume, "sv01");
  await identity.check();
  expect(other.health.isForeign(`${volume.address}/sv01`)).toBe(true);
  expect(other.as("Basic eDp5").health.isWritable(`${volume.address}/sv01`)).toBe(false);
});

test("a disk that is mounted again is the one it was: one line, and it is used again", async () => {
  await using volume = await startVolume();
  const { identity, volumes } = watch([volume.address]);
  await identity.check();
  const disk = join(volume.dir, "sv01");
  renameSync(disk, `${disk}.away`);
  await identity.check();
  expect(volumes.health.isForeign(`${volume.address}/sv01`)).toBe(true);
  renameSync(`${disk}.away`, disk);
  await identity.check();
  await identity.check();
  expect(volumes.health.isForeign(`${volume.address}/sv01`)).toBe(false);
  expect(said.slice(1)).toEqual([`${volume.address}/sv01 is back: it is the disk it was again`]);
});

test("two disks that were swapped are both foreign, and no twins", async () => {
  await using volume = await startVolume();
  const { identity, volumes } = watch([volume.address]);
  await identity.check();
  const [first, second] = ["sv00", "sv01"].map((disk) => join(volume.dir, disk)) as [string, string];
  renameSync(first, `${first}.x`);
  renameSync(second, first);
  renameSync(`${first}.x`, second);
  expect(await identity.check()).toEqual([]);
  expect(["sv00", "sv01"].map((disk) => volumes.health.isForeign(`${volume.address}/${disk}`))).toEqual([true, true]);
  expect(said).toHaveLength(2);
  for (const line of said)
    expect(line).toMatch(/is not the disk it was \(it has the id of \S+\): if the two were exchanged, put each back/);
});

test("a disk that is mounted in place of another, whose own place is empty, is foreign, and no twin", async () => {
  await using volume = await startVolume();
  const { identity, volumes } = watch([volume.address]);
  await identity.check();
  rmSync(join(volume.dir, "sv01"), { recursive: true });
  renameSync(join(volume.dir, "sv00"), join(volume.dir, "sv01"));
  expect(await identity.check()).toEqual([]);
  expect(["sv00", "sv01"].map((disk) => volumes.health.isForeign(`${volume.address}/${disk}`))).toEqual([true, true]);
});

test("of a volume that is another one, or lost its id, all disks are foreign: one line", async () => {
  await using volume = await startVolume();
  const { identity, volumes } = watch([volume.address]);
  await identity.check();
  const id = idAt(volume);
  const isForeign = () =>
    ["", "/sv00", "/sv01", "/sv77"].map((disk) => volumes.health.isForeign(volume.address + disk));
  const disk = join(volume.dir, "sv01");
  rmSync(join(volume.dir, "mkv"), { recursive: true });
  renameSync(disk, `${disk}.away`);
  await identity.check();
  expect(isForeign()).toEqual([true, true, true, true]);
  expect(said).toEqual([expect.stringContaining(`${volume.address} is not the disk it was (no id)`)]);
  write(volume, "mkv/id", `${crypto.randomUUID()}\n`);
  await identity.check();
  expect(said.slice(1)).toEqual([expect.stringContaining("(another id)")]);
  renameSync(`${disk}.away`, disk);
  write(volume, "mkv/id", id);
  await identity.check();
  expect(isForeign()).toEqual([false, false, false, false]);
  expect(said.slice(2)).toEqual([`${volume.address} is back: it is the disk it was again`]);
});
