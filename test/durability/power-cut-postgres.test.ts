// The power of all machines is cut, that of the database, too: what was acknowledged under -sync is there, and a rebuild says
// the same.
import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until";
import { expectAnswers, expectDisks } from "./after-cut";
import { whyNoCut } from "./ext4";
import { startPowerStore } from "./power";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(120_000);
withoutGrace();
const why = await whyNoCut();
if (why) console.log(`skipped: the power cut of a database, since no disk can be cut off here (${why})`);

test.skipIf(why !== undefined)(
  "what was acknowledged over PostgreSQL under -sync is there after a power cut",
  async () => {
    await using store = await startPowerStore(["-sync"], "PostgreSQL");
    const traffic = store.traffic({ writers: 24, mixed: true });
    const enough = () => traffic.acknowledged > 300 && traffic.those("unlinked").length > 5;
    await until(enough, { what: "there is a lot to lose", deadlineMs: 40_000 });
    await store.cutPower(traffic);
    expect(traffic.unsure().length).toBeGreaterThan(0); // It was cut in the middle.
    expectDisks(store, traffic);

    await store.database!.start();
    await store.startVolumes();
    // Who held keys, and counts as present for a while, is gone.
    await store.database!.query("update mkv_keys set due = now() where held");
    await store.database!.query("delete from mkv_processes");
    await store.startMaster();
    const settled = async () =>
      (await store.database!.query("select 1 from mkv_keys where due is not null")).length === 0;
    await until(settled, { what: "what was unfinished at the cut is cleaned up", deadlineMs: 30_000 });
    await expectAnswers(store, traffic);
    expectDisks(store, traffic);
    expect(await store.job("-master", store.master.url, "-md5", "verify")).toMatchObject({ exitCode: 0 });
    const before = [await store.keys("list"), await store.keys("unlinked")];
    expect(await store.master.stop()).toBe(0);
    expect(await store.job("-db", store.db, "rebuild")).toMatchObject({ exitCode: 0 });
    await store.startMaster();
    expect([await store.keys("list"), await store.keys("unlinked")]).toEqual(before);
  },
);
