// A disk that was mounted anew may have lost what was not synced; a master that has another view of the same mount has not.
import { expect, setDefaultTimeout, test } from "bun:test";
import { dirname } from "node:path";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { owing, settledOwing } from "../support/journals";
import { startMaster } from "../support/master";
import { halfPut } from "../support/under-way";
import { whyNoCut } from "./ext4";
import { startPowerStore } from "./power";

setDefaultTimeout(120_000);
const why = await whyNoCut();
if (why) console.log(`skipped: disks that are mounted anew, since none can be mounted here (${why})`);
const testMount = test.concurrent.skipIf(why !== undefined);

/** As a unit is started: in a mount namespace of its own, where systemd may mount the folder of its state onto itself. */
const ownNamespace = ["unshare", "--mount", "--propagation", "slave"];
const asUnit = (folder: string) => [
  ...ownNamespace,
  ...["sh", "-c", 'mount --bind "$0" "$0" && cd / && exec "$@"', folder],
];

testMount("a master that is killed in its unit owes the same in the next one, and outside", async () => {
  await using store = await startPowerStore();
  await store.store("/deleted");
  await store.volumes[0]!.kill();
  expect((await store.ask("DELETE", "/deleted")).status).toBe(204);
  await store.master.kill();
  const folder = dirname(store.db);
  for (const by of [asUnit(folder), asUnit(folder), ownNamespace, ownNamespace, [], asUnit(folder)]) {
    await using master = await startMaster({ db: store.db, volumes: store.addresses, by });
    expect(master.output).not.toContain("may lack what was acknowledged");
    expect(owing(store.db)).toBe(1);
    await master.kill();
  }
  await store.volumes[0]!.start();
  await store.startMaster();
  await settledOwing(store.db);
  expect(store.remains()).toEqual([]);
});

testMount(
  "what was acknowledged before the disk of the index lost power stays, though the machine went on",
  async () => {
    await using store = await startPowerStore();
    const { indexDisk } = store;
    using writing = await halfPut(store.master.port, "/late");
    indexDisk.flush(); // It knows that the write has begun, and will not learn how it ended.
    writing.write("9");
    expect((await writing.answer()).status).toBe(201);
    indexDisk.cut();
    await indexDisk.copy();
    await store.master.kill();
    await indexDisk.recover();

    await store.startMaster();
    expect(store.master.output).toContain("may lack what was acknowledged last (");
    await settledOwing(store.db);
    expect(copiesOf(store, "/late")).toEqual(copiesOn(homeOf(store, "/late"), "0123456789"));
  },
);
