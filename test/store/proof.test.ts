// What proves the recorded copies of a value: a volume that has been up since before others were to go, or their bytes.
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { nowMs, shareClock, startClock } from "../../src/clock";
import { parseKey } from "../../src/format/key";
import { pathOf } from "../../src/format/path";
import { limits } from "../../src/limits";
import { provenCopy } from "../../src/store/proof";
import { type Store } from "../../src/store/store";
import { Volumes } from "../../src/volumes/volumes";
import { md5Hex } from "../support/values";
import { startVolume } from "../support/volume";
import { settings, write } from "../volumes/watch";

setDefaultTimeout(60_000);
let passedMs = 0;

/** Lets so much time pass, by the clock of this process. */
function pass(ms: number): void {
  passedMs += ms;
  startClock({ ...shareClock(), startedMs: passedMs });
}
afterEach(() => pass(-passedMs));

test("a copy of the right length is read where its volume was not heard of for a while: it may have lost power", async () => {
  await using volume = await startVolume();
  const key = parseKey("/key");
  write(volume, pathOf(key).slice(1), "\0\0\0\0\0"); // The length of its value alone.
  const volumes = Volumes.of({ volumes: [volume.address], replicas: 1, subvolumes: 1 }, settings);
  const told: unknown[] = [];
  const store = { volumes, hints: { add: async (...hint: unknown[]) => void told.push(hint) } } as unknown as Store;
  const record = { state: "live" as const, md5: md5Hex("value"), volumes: [volume.address] };
  const prove = () => provenCopy(store, key, { record, sinceMs: nowMs(), pace: undefined });
  for (let upMs = 0; upMs <= limits.upBeforeMs; upMs += limits.probeMs) {
    await volumes.head(volume.address, pathOf(key));
    pass(limits.probeMs);
  }
  expect(await prove()).toMatchObject({ bytes: 5 });
  pass(limits.unheardMs + 1);
  expect([await prove(), told]).toEqual(["damaged", [[key, { why: "damaged" }]]]);
});
