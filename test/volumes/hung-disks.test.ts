// Disks that hang while their server answers: nobody who looks after the others waits for them.
import { expect, setDefaultTimeout, test } from "bun:test";
import { keepEpochs } from "../../src/store/places/epochs";
import { type Memory } from "../../src/ledger/ledger";
import { temporaryFolder } from "../support/folder";
import { startFaultyVolume } from "../support/faulty";
import { startMaster } from "../support/master";
import { until, within } from "../support/until";
import { startVolume } from "../support/volume";
import { settings, watch } from "./watch";

setDefaultTimeout(60_000);

/** A server of which every disk hangs when it is asked for this: one in the middle of its answer. */
function startHung(path: string) {
  const ids = new Map<string, string>();
  return startFaultyVolume((request) => {
    if (/^\/sv[0-9A-F]{2}\//.test(request.path) && request.path.endsWith(path))
      return request.path.startsWith("/sv01/")
        ? { does: "answer", status: 200, headers: { "Content-Length": "37" }, body: "0" }
        : { does: "stall" };
    if (request.path.endsWith("/mkv/epoch")) return { does: "answer", status: 404 };
    if (request.method !== "GET") return { does: "answer", status: 200 };
    if (!request.path.endsWith("/mkv/id")) return { does: "answer", status: 200, body: "[]" };
    const id = ids.get(request.path) ?? crypto.randomUUID();
    ids.set(request.path, id);
    return { does: "answer", status: 200, body: `${id}\n` };
  });
}

test("a server of which disks hang goes on to be written to, and one that has come back before those are given up", async () => {
  await using hung = await startHung("/mkv/id");
  await using good = await startVolume();
  const { volumes, identity } = watch([hung.address, good.address], { subvolumes: 24 });
  await volumes.probeAll();
  expect(volumes.health.isSettled(good.address)).toBe(false);
  let isOver = false;
  const checked = identity.check().then(() => void (isOver = true));
  await until(() => volumes.health.isSettled(good.address), { what: "it is written to" });
  expect(isOver).toBe(false);
  const startMs = performance.now();
  await checked;
  expect(performance.now() - startMs).toBeLessThan(3 * settings.voltimeoutMs); // Not one is waited for after the other.
  expect(volumes.health.isSettled(hung.address)).toBe(true);
});

test.concurrent("a disk that hangs over its note holds up no look at the others", async () => {
  await using folder = temporaryFolder();
  await using hung = await startHung("/mkv/epoch");
  await using good = await startVolume();
  const flags = ["-subvolumes", "2", "-replicas", "1", "-voltimeout", "20s"];
  await using master = await startMaster({
    db: `${folder.path}/index`,
    volumes: [hung.address, good.address],
    flags,
  });
  const says = (what: string, times: number) =>
    until(() => master.output.split(`${good.address} ${what}`).length > times, { what, deadlineMs: 10_000 });
  for (const times of [1, 2]) {
    await good.stop();
    await says("is down", times);
    await good.start();
    await says("is back", times);
  }
});

test.concurrent("a master ends soon, however many disks hang over their notes", async () => {
  await using folder = temporaryFolder();
  await using hung = await startHung("/mkv/epoch");
  const flags = ["-subvolumes", "64", "-replicas", "1"];
  await using master = await startMaster({ db: `${folder.path}/index`, volumes: [hung.address], flags });
  const { exited } = master.process;
  master.process.signal("SIGTERM");
  expect(await within(exited, { what: "it ends", deadlineMs: 8000 })).toBe(0); // They are asked four at once, for a second each.
});

test("what is remembered of places that were put back holds at a start, whatever hangs", async () => {
  await using hung = await startHung("/mkv/epoch");
  const { volumes } = watch([hung.address]);
  await volumes.probeAll();
  const place = `${hung.address}/sv01`;
  const memory = { page: async () => [[`put-back ${place}`, { id: "one", isEarlier: true }]] } as unknown as Memory;
  const takeTurn = async () => new AsyncDisposableStack();
  const noteEpoch = () => Promise.withResolvers<"current">().promise; // It never comes to the end of it.
  void keepEpochs(volumes, { memory, takeTurn, noteEpoch, renamed: new Map() }).note("volumes");
  await until(() => volumes.health.isPutBack(place), { what: "it is read last" });
});
