// The power is cut while values take the place of others: each key has the value that was acknowledged last, or the one that
// was on its way, whole and with its hash.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { withoutGrace } from "../support/grace";
import { follow, request } from "../support/http";
import { md5Hex, valueOf } from "../support/values";
import { until } from "../support/until";
import { whyNoCut } from "./ext4";
import { startPowerStore, type PowerStore } from "./power";

setDefaultTimeout(120_000);
withoutGrace();
const why = await whyNoCut();
if (why) console.log(`skipped: the power cut of a replacement, since no disk can be cut off here (${why})`);
const testCut = test.concurrent.skipIf(why !== undefined);

const keys = Array.from({ length: 24 }, (_, i) => `/again-${i}`);
const bytes = [20, 3_000, 150_000];
const valueAt = (key: string, time: number) => valueOf(`${key} for the ${time}th time`, bytes[time % bytes.length]!);

/** Replaces the values of all keys again and again; what may be there of each is what was acknowledged, or was asked for last. */
class Replacing {
  readonly acknowledged = new Map(keys.map((key) => [key, 0]));
  readonly asked = new Map(keys.map((key) => [key, 0]));
  #isStopped = false;
  readonly #running: Promise<unknown>;

  constructor(port: number) {
    this.#running = Promise.all(keys.map((key) => this.#replace(port, key)));
  }

  get count(): number {
    return [...this.acknowledged.values()].reduce((sum, time) => sum + time, 0);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #replace(port: number, key: string): Promise<void> {
    for (let time = 1; !this.#isStopped; time++) {
      this.asked.set(key, time);
      const put = { method: "PUT", target: `${key}?replace`, body: valueAt(key, time), timeoutMs: 5_000 };
      const answer = await request(port, put).catch(() => undefined);
      if (answer?.status !== 201) return; // Nobody has said what became of it.
      this.acknowledged.set(key, time);
    }
  }
}

async function expectOneOf(store: PowerStore, replacing: Replacing): Promise<void> {
  for (const key of keys) {
    const [least, most] = [replacing.acknowledged.get(key)!, replacing.asked.get(key)!];
    const answer = await store.ask("GET", key);
    const { body } = await follow(answer);
    const times = [least, most].filter((time) => body.equals(valueAt(key, time)));
    expect([key, answer.status, times.length > 0]).toEqual([key, 302, true]);
    expect([key, answer.headers.get("content-md5")]).toEqual([key, md5Hex(body)]);
    expect([key, copiesOf(store, key)]).toEqual([key, copiesOn(homeOf(store, key), body)]);
  }
}

testCut.each(["served again", "rebuilt"])(
  "law 2: all power cut in the middle of replacements, then %s",
  async (then) => {
    await using store = await startPowerStore(["-sync"]);
    for (const key of keys) await store.store(key, valueAt(key, 0));
    const replacing = new Replacing(store.master.port);
    await until(() => replacing.count > 200, { what: "many values were replaced", deadlineMs: 40_000 });
    const stopping = store.cutPower();
    await stopping;
    await replacing.stop();
    await store.startVolumes();
    if (then === "rebuilt") {
      const outcome = await store.job("-db", store.db, "-grace", "0", "rebuild");
      expect([outcome.exitCode, outcome.stderr]).toEqual([0, expect.anything()]);
    }
    await store.startSettled();
    await expectOneOf(store, replacing);
    expect(await store.job("-master", store.master.url, "-md5", "verify")).toMatchObject({ exitCode: 0 });
  },
);
