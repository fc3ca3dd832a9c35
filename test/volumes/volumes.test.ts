// What the store may rely on when it asks for volumes: which are chosen, what a removal waits for, what is asked once.
import { expect, setDefaultTimeout, test } from "bun:test";
import { limits } from "../../src/limits";
import { Volumes } from "../../src/volumes/volumes";
import { deadVolume, startFaultyVolume, type Behaviour, type SeenRequest } from "../support/faulty";
import { heard, settings } from "./watch";

setDefaultTimeout(30_000);
heard(); // What is said of volumes without a fence.

const answer = (status: number): Behaviour => ({ does: "answer", status });
const healthy = ({ method }: SeenRequest): Behaviour => answer(method === "HEAD" ? 200 : 204);

function volumesOf(volumes: string[], as: Partial<typeof settings> = {}): Volumes {
  return Volumes.of({ volumes, replicas: 1, subvolumes: 1 }, { ...settings, ...as });
}

test("the first volumes of the order that can be written to are chosen, and nobody is asked who has just answered", async () => {
  await using a = await startFaultyVolume(healthy);
  await using b = await startFaultyVolume(healthy);
  await using c = await startFaultyVolume(healthy);
  const ranked = [c.address, a.address, b.address];
  const volumes = volumesOf(ranked);
  await volumes.head(b.address, "/ab/cd/x"); // What has answered before comes no sooner.
  expect(await volumes.choose(ranked, { wanted: 1, atLeast: 1 })).toEqual([c.address]);
  expect(await volumes.choose(ranked, { wanted: 2, atLeast: 2 })).toEqual([c.address, a.address]);
  expect([a.seen.length, b.seen.length, c.seen.length]).toEqual([1, 1, 1]);
  expect(await volumes.choose(ranked, { wanted: 2, atLeast: 2 })).toEqual([c.address, a.address]);
  expect([a.seen.length, b.seen.length, c.seen.length]).toEqual([1, 1, 1]);
});

test("a volume that is down is passed over, and the next takes its place, in the order asked for", async () => {
  await using a = await startFaultyVolume(healthy);
  await using b = await startFaultyVolume(healthy);
  const ranked = [await deadVolume(), b.address, a.address];
  const volumes = volumesOf(ranked);
  expect(await volumes.choose(ranked, { wanted: 2, atLeast: 2 })).toEqual([b.address, a.address]);
  expect(await volumes.choose(ranked, { wanted: 3, atLeast: 3 })).toEqual([b.address, a.address]);
});

test("a disk that refused a write for want of space is chosen only where too few others are left", async () => {
  await using full = await startFaultyVolume(({ method }) => answer(method === "PUT" ? 507 : 200));
  await using other = await startFaultyVolume(healthy);
  const ranked = [full.address, other.address];
  const volumes = volumesOf(ranked);
  const upload = volumes.upload(full.address, "/ab/cd/x", { bytes: 1, date: new Date().toUTCString() });
  await expect(upload.finish(new Uint8Array(1))).rejects.toThrow("answered 507");
  expect([volumes.health.isUp(full.address), volumes.health.isWritable(full.address)]).toEqual([true, false]);
  expect(await volumes.choose(ranked, { wanted: 1, atLeast: 1 })).toEqual([other.address]);
  expect(await volumes.choose(ranked, { wanted: 2, atLeast: 1 })).toEqual([other.address]);
  expect(await volumes.choose(ranked, { wanted: 2, atLeast: 2 })).toEqual(ranked);
});

test("a removal returns whoever did not confirm, and why", async () => {
  await using good = await startFaultyVolume(healthy);
  await using empty = await startFaultyVolume(({ method }) => answer(method === "DELETE" ? 404 : 200));
  await using bad = await startFaultyVolume(({ method }) => answer(method === "DELETE" ? 500 : 200));
  const dead = await deadVolume();
  const all = [good.address, bad.address, dead, empty.address];
  const volumes = volumesOf(all);
  const left = await volumes.removeAll(all, "/ab/cd/x", { waitMs: limits.patienceMs });
  expect(left).toEqual([
    { volume: bad.address, reason: expect.stringContaining(`${bad.address} answered 500: its disk`), wasAsked: true },
    { volume: dead, reason: `${dead} is down`, wasAsked: false },
  ]);
});

test("a removal asks a volume that may hold an older request only when that has settled, if it may wait for it", async () => {
  await using volume = await startFaultyVolume(healthy);
  const volumes = volumesOf([volume.address]);
  volumes.distrust(volume.address);
  const removals = () => volume.seen.filter(({ method }) => method === "DELETE").length;
  const reason = `${volume.address} has come back just now`;
  expect(await volumes.removeAll([volume.address], "/x", { waitMs: 0 })).toMatchObject([{ reason, wasAsked: false }]);
  expect([removals(), volumes.health.isUp(volume.address), volumes.health.isSettled(volume.address)]).toEqual([
    0,
    true,
    false,
  ]);
  expect(await volumes.removeAll([volume.address], "/x", { waitMs: limits.patienceMs })).toEqual([]);
  expect([removals(), volumes.health.isSettled(volume.address)]).toEqual([1, true]);
});

test("a volume that takes its time is not asked for a file again while it does", async () => {
  await using volume = await startFaultyVolume(() => ({ does: "stall" }));
  const volumes = volumesOf([volume.address], { voltimeoutMs: limits.freshMs + 500 });
  const first = volumes.holds(volume.address, "/ab/cd/x");
  await Bun.sleep(limits.freshMs + 50); // What was confirmed before is forgotten.
  const answers = await Promise.allSettled([first, volumes.holds(volume.address, "/ab/cd/x")]);
  expect([...answers.map(({ status }) => status), volume.seen.length]).toEqual(["rejected", "rejected", 1]);
});

test("whether a server can sync is asked once, and asked again if it could not tell", async () => {
  let status = 500;
  await using volume = await startFaultyVolume(({ method }) => answer(method === "POST" ? status : 200));
  const volumes = volumesOf([volume.address]);
  const asked = () => volume.seen.filter(({ method }) => method === "POST").length;
  await expect(volumes.hasSync(volume.address)).rejects.toThrow("cannot sync /");
  status = 204;
  expect([await volumes.hasSync(`${volume.address}/sv03`), await volumes.hasSync(volume.address)]).toEqual([
    true,
    true,
  ]);
  expect(asked()).toBe(2);
  status = 404;
  expect(await volumesOf([volume.address]).hasSync(volume.address)).toBe(false);
  const dead = await deadVolume();
  await expect(volumesOf([dead]).hasSync(dead)).rejects.toThrow(`${dead} is down`);
});

test("a PUT waits for its disk if it is asked to, or if the settings say so and it is not told otherwise", async () => {
  await using volume = await startFaultyVolume(healthy);
  const put = async (volumes: Volumes, sync?: boolean) => {
    const value = { bytes: 1, date: new Date().toUTCString(), ...(sync !== undefined && { sync }) };
    const before = volume.seen.length;
    await volumes.upload(volume.address, "/ab/cd/x", value).finish(new Uint8Array(1));
    return volume.seen.slice(before).filter(({ method }) => method === "POST").length;
  };
  const plain = volumesOf([volume.address]);
  const durable = volumesOf([volume.address], { sync: true });
  expect([await put(plain), await put(plain, true), await put(durable), await put(durable, false)]).toEqual([
    0, 1, 1, 0,
  ]);
});

test("another user's requests carry that user's credentials, and share what is known of the volumes", async () => {
  await using volume = await startFaultyVolume(healthy);
  const volumes = volumesOf([volume.address], { credentials: "Basic b3du" });
  const user = volumes.as("Basic b3RoZXI=");
  await user.head(volume.address, "/ab/cd/x");
  await volumes.head(volume.address, "/ab/cd/x");
  await volumes.as(undefined).head(volume.address, "/ab/cd/x");
  const sent = volume.seen.map(({ headers }) => headers.get("authorization"));
  expect(sent).toEqual(["Basic b3RoZXI=", "Basic b3du", null]);
  user.distrust(volume.address);
  expect(volumes.health.isSettled(volume.address)).toBe(false);
});
