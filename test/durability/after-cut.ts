// Owns what must be true after a power cut of what clients were told before it.
import { expect } from "bun:test";
import { type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { follow } from "../support/http";
import { targetOf } from "../support/values";
import { type PowerStore } from "./power";
import { type Entry, type Traffic } from "./traffic";

/** What a client gets: the bytes of the value, or the status that says that there are none. */
export async function get(store: Cluster, { key }: { key: string }): Promise<Buffer | number> {
  const answer = await store.ask("GET", targetOf(key));
  if (answer.status !== 302) return answer.status;
  const followed = await follow(answer);
  expect([key, followed.status]).toEqual([key, 200]);
  return followed.body;
}

export function isWhole(got: Buffer | number, { value }: Entry): boolean {
  return typeof got !== "number" && got.equals(value);
}

/** What lies on the disks, before anything has been started that could mend it. */
export function expectDisks(store: PowerStore, traffic: Traffic): void {
  for (const { key, value } of [...traffic.those("stored"), ...traffic.those("unlinked")]) {
    expect([key, copiesOf(store, key)]).toEqual([key, copiesOn(homeOf(store, key), value)]);
  }
  for (const { key } of traffic.those("absent")) expect([key, copiesOf(store, key)]).toEqual([key, {}]);
}

/** What clients see. */
export async function expectAnswers(store: PowerStore, traffic: Traffic): Promise<void> {
  for (const entry of traffic.those("stored")) {
    expect([entry.key, isWhole(await get(store, entry), entry)]).toEqual([entry.key, true]);
  }
  const unlinked = await store.keys("unlinked");
  for (const { key } of traffic.those("unlinked")) expect(unlinked).toContain(key);
  for (const { key } of traffic.those("absent")) expect(unlinked).not.toContain(key);
  for (const entry of [...traffic.those("unlinked"), ...traffic.those("absent")]) {
    expect([entry.key, await get(store, entry)]).toEqual([entry.key, 404]);
  }
  for (const entry of traffic.unsure()) {
    const got = await get(store, entry);
    expect([entry.key, got === 404 || isWhole(got, entry)]).toEqual([entry.key, true]);
    if (entry.fates[0] !== "absent") continue;
    // A write that was cut off: nothing is left of it, if it is not live.
    expect([entry.key, unlinked.includes(entry.key)]).toEqual([entry.key, false]);
    expect([entry.key, Object.keys(copiesOf(store, entry.key)).length]).toEqual([entry.key, got === 404 ? 0 : 3]);
  }
}
