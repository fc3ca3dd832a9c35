// Who belongs to the store: volumes and disks that are new, replaced, named twice, or have no identity.
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { adopt } from "../../src/volumes/identity";
import { deadVolume, startFaultyVolume } from "../support/faulty";
import { temporaryFolder } from "../support/folder";
import { passwordFile } from "../support/password";
import { startVolume } from "../support/volume";
import { Memory, UUID, empty, heard, idAt, watch, write } from "./watch";

setDefaultTimeout(30_000);
const said = heard();

test("two names of one server are told, at the first start and later; the second is not written to", async () => {
  await using volume = await startVolume();
  const names = [volume.address, `127.0.0.1:${volume.port}`].sort() as [string, string];
  const first = watch(names);
  expect(await first.identity.check()).toEqual([names]);
  const memory = new Memory();
  await watch([volume.address], { memory }).identity.check();
  const later = watch(names, { memory });
  expect(await later.identity.check()).toEqual([names]);
  expect(names.filter((name) => later.volumes.health.isForeign(name))).toEqual(
    names.filter((name) => name !== volume.address),
  );
  expect(await watch([names.find((name) => name !== volume.address)!], { memory }).identity.check()).toEqual([]);
});

test("a disk that two servers have is told", async () => {
  await using a = await startVolume();
  await using b = await startVolume();
  const { identity } = watch([a.address, b.address]);
  await identity.check();
  const memory = new Memory();
  write(b, "sv01/mkv/id", idAt(a, "sv00"));
  const names = [`${a.address}/sv00`, `${b.address}/sv01`].sort() as [string, string];
  expect(await watch([a.address, b.address], { memory }).identity.check()).toEqual([names]);
});

test("a volume that is added later gets ids if it is empty, with mounted disks as well", async () => {
  await using old = await startVolume();
  await using added = await startVolume();
  const memory = new Memory();
  await watch([old.address], { memory }).identity.check();
  for (const disk of ["sv00", "sv01/lost+found"]) mkdirSync(join(added.dir, disk), { recursive: true, mode: 0o777 });
  for (const disk of ["sv00", "sv01"]) chmodSync(join(added.dir, disk), 0o777);
  expect(await watch([old.address, added.address], { memory }).identity.check()).toEqual([]);
  expect(["", "sv00", "sv01"].map((disk) => idAt(added, disk))).toEqual(Array(3).fill(expect.stringMatching(UUID)));
  expect(memory.get(`${added.address}/sv01`)).toBe(idAt(added, "sv01").trimEnd());
  expect(said).toEqual([]);
});

test("what has files, no id, and is added later is not used until it is adopted: one line", async () => {
  await using old = await startVolume();
  await using added = await startVolume();
  const memory = new Memory();
  await watch([old.address], { memory }).identity.check();
  write(added, "sv01/ab/cd/value", "whose?");
  const { identity, volumes } = watch([old.address, added.address], { memory });
  await identity.check();
  await identity.check();
  expect(said).toEqual([
    `${added.address} is new, and has files, maybe of another store: if it belongs to this store, ` +
      `run "mkv adopt ${added.address}", else leave it out of -volumes`,
  ]);
  const { health } = volumes;
  const places = [added.address, `${added.address}/sv00`, `${added.address}/sv01`];
  expect(places.map((place) => [health.isForeign(place), health.isWritable(place)])).toEqual(
    Array(3).fill([true, false]),
  );
  expect([existsSync(join(added.dir, "mkv")), existsSync(join(added.dir, "sv00"))]).toEqual([false, false]);
  await adopt(volumes, added.address, (name, id) => memory.put(name, id));
  await identity.check();
  expect(places.map((place) => health.isForeign(place))).toEqual([false, false, false]);
  expect(idAt(added, "sv01")).toMatch(UUID);
});

test("a disk that is configured later is known from then on", async () => {
  await using volume = await startVolume();
  const memory = new Memory();
  await watch([volume.address], { memory }).identity.check();
  await watch([volume.address], { memory, subvolumes: 3 }).identity.check();
  expect(memory.get(`${volume.address}/sv02`)).toBe(idAt(volume, "sv02").trimEnd());
});

test("a volume that is down, or lets nobody in, is not known to be foreign, and nothing is remembered of it", async () => {
  await using folder = temporaryFolder();
  await using locked = await startVolume({ auth: passwordFile(folder.path, { user: "a", password: "b" }) });
  await using volume = await startVolume();
  const names = [await deadVolume(), locked.address, volume.address];
  const { identity, memory, volumes } = watch(names);
  expect(await identity.check()).toEqual([]);
  expect(names.map((name) => memory.get(name))).toEqual([null, null, expect.stringMatching(/-/)]);
  await volume.stop();
  await identity.check();
  expect(names.map((name) => volumes.health.isForeign(`${name}/sv00`))).toEqual([false, false, false]);
  expect(said).toEqual([]);
  await volume.start();
  const before = volumes.health.returns;
  await volumes.probeAll();
  expect(volumes.health.returns).toBeGreaterThan(before);
});

test("a stand-in that answers nonsense has no identity: at most one line, and it is used as ever", async () => {
  const answers = { GET: "[\n]\n", PUT: "" };
  await using nonsense = await startFaultyVolume(({ method }) =>
    method === "GET"
      ? { does: "answer", status: 200, body: answers.GET }
      : { does: "answer", status: method === "HEAD" ? 200 : 204 },
  );
  await using forgetful = await startFaultyVolume(({ method }) => ({
    does: "answer",
    status: method === "GET" ? 404 : 204,
  }));
  await using refusing = await startFaultyVolume(({ method }) => ({
    does: "answer",
    status: method === "GET" ? 404 : 405,
  }));
  const names = [nonsense.address, forgetful.address, refusing.address];
  const { identity, volumes, memory } = watch(names);
  for (let i = 0; i < 2; i++) expect(await identity.check()).toEqual([]);
  expect(said.toSorted()).toHaveLength(3);
  for (const name of names) {
    expect(said.filter((line) => line.startsWith(`${name} `))).toHaveLength(1);
    expect([volumes.health.isForeign(`${name}/sv00`), memory.get(name)]).toEqual([false, null]);
  }
});

test("adopt takes a replaced disk for what it is: a new id, and it is used again", async () => {
  await using volume = await startVolume();
  const { identity, memory, volumes } = watch([volume.address]);
  await identity.check();
  const disk = `${volume.address}/sv01`;
  const before = memory.get(disk);
  empty(volume, "sv01");
  await identity.check();
  expect(volumes.health.isForeign(disk)).toBe(true);
  await adopt(volumes, disk, memory.put);
  const id = memory.get(disk)!;
  expect([id, memory.get(disk)]).toEqual([idAt(volume, "sv01").trimEnd(), id]);
  expect(id).not.toBe(before!);
  expect(volumes.health.isForeign(disk)).toBe(false);
  said.length = 0;
  await identity.check();
  expect([volumes.health.isForeign(disk), said]).toEqual([false, []]);
});

test("adopt of a volume is adopt of all its disks, whose ids stay where there are any", async () => {
  await using volume = await startVolume();
  const { identity, memory, volumes } = watch([volume.address]);
  await identity.check();
  const kept = idAt(volume, "sv00");
  rmSync(join(volume.dir, "mkv"), { recursive: true });
  empty(volume, "sv01");
  await identity.check();
  expect(await volumes.idOf(volume.address)).toBeUndefined();
  await adopt(volumes, volume.address, memory.put);
  const id = memory.get(volume.address)!;
  expect([await volumes.idOf(volume.address), idAt(volume, "sv00")]).toEqual([id, kept]);
  await identity.check();
  expect(["", "/sv00", "/sv01"].map((disk) => volumes.health.isForeign(volume.address + disk))).toEqual([
    false,
    false,
    false,
  ]);
});

test("adopt says what it cannot do", async () => {
  await using volume = await startVolume();
  const dead = await deadVolume();
  await using liar = await startFaultyVolume(({ method }) => ({
    does: "answer",
    status: method === "PUT" ? 201 : 404,
  }));
  const { memory, volumes } = watch([volume.address, dead, liar.address]);
  for (const name of ["localhost:1", `${volume.address}/sv02`, "nonsense"])
    await expect(adopt(volumes, name, memory.put)).rejects.toThrow(`${name} is not one of the volumes or their disks`);
  await expect(adopt(volumes, dead, memory.put)).rejects.toThrow(`${dead} does not answer`);
  const kept = `${liar.address} takes no id: what it was sent is not there`;
  await expect(adopt(volumes, liar.address, memory.put)).rejects.toThrow(kept);
  await expect(volumes.idOf(dead)).rejects.toThrow(`${dead} does not say who it is`);
});
