// Whether two names are one place: known only of those that have said who they are.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Places } from "../../src/store/places";
import { Volumes } from "../../src/volumes/volumes";
import { startCluster } from "../support/cluster";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test("a place that cannot be asked may be another one; what was not said is not remembered", async () => {
  await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] }); // Its master has given them ids.
  const [one, other] = cluster.addresses as [string, string];
  const again = one.replace("localhost", "127.0.0.1");
  const settings = { voltimeoutMs: 1_000, stalltimeoutMs: 1_000, sync: false, credentials: undefined, link: undefined };
  const places = new Places(new Volumes({ volumes: [again, other], replicas: 1, subvolumes: 1 }, settings));
  await cluster.volumes[0]!.kill();
  expect(await places.mayBeAmong(one, [again])).toBe(true);
  expect(await places.mayBeAmong(one, [other])).toBe(true);
  await cluster.volumes[0]!.restart();
  const isKnown = async () => !(await places.mayBeAmong(one, [other]));
  await until(isKnown, { what: "both have said who they are", deadlineMs: 5_000 });
  expect(await places.mayBeAmong(one, [again])).toBe(true);
});
