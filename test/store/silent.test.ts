// A server that is silent does not hold up those who look at many keys; one that was, for once, is asked as before.
import { expect, setDefaultTimeout, test } from "bun:test";
import { parseKey } from "../../src/format/key";
import { inspectCopies } from "../../src/store/copies";
import { Volumes } from "../../src/volumes/volumes";
import { type Behaviour, startFaultyVolume } from "../support/faulty";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const settings = { voltimeoutMs: 1_000, stalltimeoutMs: 1_000, sync: false, credentials: undefined, link: undefined };
const absent: Behaviour = { does: "answer", status: 404 };

/** A volume, and a look at so many keys at once: what is seen of each. */
async function startLooking(script: () => Behaviour) {
  const volume = await startFaultyVolume(script);
  const volumes = Volumes.of({ volumes: [volume.address], replicas: 1, subvolumes: 1 }, settings);
  const record = { state: "live", md5: undefined, volumes: [volume.address] } as const;
  const look = async (i: number) =>
    (await inspectCopies(volumes, parseKey(`/${i}`), record, { depth: "length" })).copies[0]!.state;
  return { volume, look: (keys: number) => Promise.all(Array.from({ length: keys }, (_, i) => look(i))) };
}

test("a silent volume is asked by one at a time, and by all when it answers again", async () => {
  let behaviour: Behaviour = { does: "stall" };
  const { volume, look } = await startLooking(() => behaviour);
  await using _ = volume;
  expect(new Set(await look(8))).toEqual(new Set(["unknown"]));
  const asked = volume.seen.length;
  for (let i = 0; i < 100; i++) expect(new Set(await look(8))).toEqual(new Set(["unknown"]));
  expect(volume.seen.length - asked).toBeLessThan(50); // As many as deadlines pass meanwhile.
  behaviour = absent;
  await until(async () => (await look(1))[0] === "missing", { what: "it is asked again" });
  expect(new Set(await look(8))).toEqual(new Set(["missing"]));
});

test("a volume that let a deadline pass, and answers when it is asked once more, is unknown to nobody", async () => {
  let behaviour: Behaviour = { does: "stall" };
  const { volume, look } = await startLooking(() => behaviour);
  await using _ = volume;
  expect(new Set(await look(8))).toEqual(new Set(["unknown"]));
  behaviour = absent;
  expect(new Set(await look(8))).toEqual(new Set(["missing"]));
});
