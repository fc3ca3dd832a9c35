// The power of all machines is cut in the middle of the writing; `ext4.ts` says how, and what that is worth.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { filesAt, filesOn } from "../support/files";
import { temporaryFolder } from "../support/folder";
import { pathOf } from "../support/placement";
import { recordsIn } from "../support/records";
import { owing } from "../support/journals";
import { until } from "../support/until";
import { targetOf } from "../support/values";
import { whyNoCut } from "./ext4";
import { startPowerStore, type PowerStore } from "./power";
import { expectAnswers, expectDisks, get, isWhole } from "./after-cut";
import { type Entry, type Fate } from "./traffic";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(120_000);
withoutGrace();
const why = await whyNoCut();
if (why) console.log(`skipped: the power cut, since no disk can be cut off here (${why})`);
const testCut = test.concurrent.skipIf(why !== undefined);

/** The live keys that a rebuild straight after the cut finds, with the index as it was on the disk. */
async function liveAfterRebuild(store: PowerStore): Promise<string[]> {
  await using folder = temporaryFolder();
  const db = store.copyIndex(folder.path);
  const outcome = await store.job("-db", db, "rebuild");
  expect(outcome).toMatchObject({ exitCode: 0 });
  const live = (await recordsIn(db)).filter(({ value }) => !value.startsWith("DELETED"));
  return live.map(({ key }) => key.toString());
}

testCut("what was acknowledged under -sync is there after a power cut: every value, byte for byte", async () => {
  await using store = await startPowerStore(["-sync"]);
  const traffic = store.traffic({ writers: 24, mixed: true });
  const enough = () => traffic.acknowledged > 600 && traffic.those("unlinked").length > 10;
  await until(enough, { what: "there is a lot to lose", deadlineMs: 40_000 });
  await store.cutPower(traffic);

  expect(traffic.those("stored").length).toBeGreaterThan(200);
  expect(traffic.those("absent").length).toBeGreaterThan(20);
  expect(traffic.unsure().length).toBeGreaterThan(0); // It was cut in the middle.
  expectDisks(store, traffic);
  await store.startVolumes();
  const rebuilt = await liveAfterRebuild(store);
  await store.startSettled();
  await expectAnswers(store, traffic);
  expectDisks(store, traffic);
  expect(rebuilt.sort()).toEqual((await store.keys("list")).sort());
  for (const { key } of traffic.unsure()) {
    // A DELETE that the cut made fail has left the key unlinked: a later one goes on.
    expect([204, 404]).toContain((await store.ask("DELETE", targetOf(key))).status);
  }
  expect(await store.job("-master", store.master.url, "-md5", "verify")).toMatchObject({ exitCode: 0 });
});

const endings: [string, string[], ("PUT" | "UNLINK" | "DELETE")[], Fate][] = [
  ["a value", [], ["PUT"], "stored"],
  ["a value that was unlinked", [], ["PUT", "UNLINK"], "unlinked"],
  ["a value without a hash that was unlinked", ["-md5sum=false"], ["PUT", "UNLINK"], "unlinked"],
  ["one without a hash on a single volume", ["-md5sum=false", "-replicas", "1"], ["PUT", "UNLINK"], "unlinked"],
  ["the end of a value", [], ["PUT", "DELETE"], "absent"],
  ["a value in the place of one that was deleted", [], ["PUT", "DELETE", "PUT"], "stored"],
  ["one that was written again and unlinked", ["-threads", "8"], ["PUT", "DELETE", "PUT", "UNLINK"], "unlinked"],
  ["a value in the place of one that was unlinked", [], ["PUT", "UNLINK", "PUT"], "stored"],
];

testCut.each(endings)("what was acknowledged last, with nothing written after it, is there: %s", async (...ending) => {
  const [, flags, methods, fate] = ending;
  await using store = await startPowerStore(["-sync", ...flags]);
  for (const method of methods) {
    const { status } = await store.ask(method, "/last", method === "PUT" ? { body: "value" } : {});
    expect([method, status]).toEqual([method, method === "PUT" ? 201 : 204]);
  }
  await store.cutPower();

  const volumes = homeOf(store, "/last", flags.includes("-replicas") ? 1 : 3);
  const files = fate === "absent" ? {} : copiesOn(volumes, "value");
  expect(copiesOf(store, "/last")).toEqual(files);
  await store.startVolumes();
  expect(await liveAfterRebuild(store)).toEqual(fate === "stored" ? ["/last"] : []);
  await store.startSettled();
  expect(await store.keys("list")).toEqual(fate === "stored" ? ["/last"] : []);
  expect(await store.keys("unlinked")).toEqual(fate === "unlinked" ? ["/last"] : []);
  expect(copiesOf(store, "/last")).toEqual(files);
});

testCut("what was owed when a master was stopped is owed after a power cut, also without -sync", async () => {
  await using store = await startPowerStore();
  await store.store("/deleted");
  for (const disk of store.disks) disk.flush();
  await store.volumes[0]!.kill();
  expect((await store.ask("DELETE", "/deleted")).status).toBe(204);
  expect(await store.master.stop()).toBe(0);
  expect(owing(store.db)).toBe(1);
  await store.volumes[0]!.start();
  await store.cutPower();
  expect(owing(store.db)).toBe(1);
});

testCut("what a power cut takes without -sync is reported by verify, and never served as an empty value", async () => {
  await using store = await startPowerStore();
  const start = performance.now();
  const traffic = store.traffic({ writers: 12, mixed: false });
  await until(() => traffic.acknowledged > 100, { what: "there are records to keep" });
  const recorded = traffic.those("stored");
  store.indexDisk.flush(); // So that the index knows of values that the volumes have lost.
  const longEnough = () => performance.now() - start > 3_500 && traffic.acknowledged > 300; // For names without bytes.
  await until(longEnough, { what: "there is a lot to lose", deadlineMs: 30_000 });
  await store.cutPower(traffic);

  const acknowledged = traffic.those("stored");
  await store.startVolumes();
  await store.startMaster();
  const lost: Entry[] = [];
  for (const entry of traffic.entries.values()) {
    const got = await get(store, entry);
    if (isWhole(got, entry)) continue;
    expect([entry.key, got]).toEqual([entry.key, got === 410 ? 410 : 404]);
    if (entry.fates.length === 1) lost.push(entry);
  }
  expect(lost.length).toBeGreaterThan(acknowledged.length / 4); // Else this was no power cut.
  expect(store.volumes.flatMap(({ dir }) => filesOn(dir)).filter(({ bytes }) => bytes === 0)).not.toEqual([]);

  const { exitCode, stdout, stderr } = await store.job("-master", store.master.url, "-md5", "verify");
  expect(exitCode).toBe(1);
  const isNamed = ({ key }: Entry) => (stdout + stderr).includes(JSON.stringify(key));
  const live = new Set(await store.keys("list"));
  expect(recorded.filter(({ key }) => !live.has(key))).toEqual([]);
  expect(lost.filter((entry) => live.has(entry.key) && !isNamed(entry))).toEqual([]);
  // Of a write whose end the journal has lost, too, the files are unfinished work: they go by themselves.
  const unnamed = lost.filter((entry) => !isNamed(entry)).map(({ key }) => pathOf(key));
  const left = () => unnamed.flatMap((path) => store.volumes.flatMap(({ dir }) => filesAt(dir, path)));
  const isTold = () => left().every(({ path }) => (stdout + stderr).includes(path));
  await until(isTold, { what: "what is left of keys that nobody knows is told of" });
});
