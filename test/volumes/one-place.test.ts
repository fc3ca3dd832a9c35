// Whether two names are one place: known only of those that have said who they are.
import { expect, setDefaultTimeout, test } from "bun:test";
import { openMemory } from "../../src/ledger/level/memory";
import { adoptPlace } from "../../src/store/adopt";
import { Places } from "../../src/store/places/places";
import { Volumes } from "../../src/volumes/volumes";
import { startCluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const settings = { voltimeoutMs: 1_000, stalltimeoutMs: 1_000, sync: false, credentials: undefined, link: undefined };

test("a place that cannot be asked may be another one; what was not said is not remembered", async () => {
  await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] }); // Its master has given them ids.
  const [one, other] = cluster.addresses as [string, string];
  const again = one.replace("localhost", "127.0.0.1");
  const places = new Places(Volumes.of({ volumes: [again, other], replicas: 1, subvolumes: 1 }, settings));
  await cluster.volumes[0]!.kill();
  expect(await places.mayBeAmong(one, [again])).toMatchObject({ silent: one });
  expect(await places.mayBeAmong(other, [one])).toMatchObject({ silent: one });
  await cluster.volumes[0]!.restart();
  const isKnown = async () => !(await places.mayBeAmong(one, [other]));
  await until(isKnown, { what: "both have said who they are", deadlineMs: 5_000 });
  expect(await places.mayBeAmong(one, [again])).toMatchObject({ silent: undefined });
});

test("a second name of a place is not adopted while the first is configured, and nothing is remembered of it", async () => {
  await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] });
  const [one, other] = cluster.addresses as [string, string];
  const again = one.replace("localhost", "127.0.0.1");
  await using folder = temporaryFolder();
  await using memory = await openMemory(`${folder.path}/index`);
  const adoptIn = async (volumes: string[], name: string) => {
    const topology = { volumes, replicas: 1, subvolumes: 1 };
    await adoptPlace({ volumes: Volumes.of(topology, settings), ledger: { memory } }, name);
  };
  await adoptIn([one, other], one);
  await expect(adoptIn([one, again], again)).rejects.toThrow(
    `${again} and ${one} are the same place: name each volume once in -volumes`,
  );
  expect(memory.get(`id ${again}`)).toBeUndefined();
  await adoptIn([again, other], again); // Under its new name alone it is no second one.
  expect(memory.get(`id ${again}`)).toBe(memory.get(`id ${one}`));
});
