// Owns the look at whether keys are where they belong, each with the value that `valueOf` makes of its name.
import { type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, indexOf } from "../support/copies";
import { until } from "../support/until";
import { valueOf } from "../support/values";

/** So many keys that belong to the first volume, among others. */
export function keysOfFirst(cluster: Cluster, count: number): string[] {
  const names = Array.from({ length: 100 * count }, (_, i) => `/key-${i}`);
  return names.filter((key) => homeOf(cluster, key).some((volume) => indexOf(cluster, volume) === 0)).slice(0, count);
}

export async function storeAll(cluster: Cluster, keys: readonly string[], bytes?: number): Promise<void> {
  for (const key of keys) await cluster.store(key, valueOf(key, bytes));
}

/** Whether these keys lie on their own volumes, whole, and nowhere else. */
export function areHome(cluster: Cluster, keys: readonly string[], bytes?: number): boolean {
  return keys.every((key) =>
    Bun.deepEquals(copiesOf(cluster, key), copiesOn(homeOf(cluster, key), valueOf(key, bytes))),
  );
}

/** Waits until these keys are home, one after the other: a look at all of them at once keeps the machine busy. */
export async function cameHome(cluster: Cluster, keys: readonly string[], bytes?: number): Promise<void> {
  for (const key of keys) {
    await until(() => areHome(cluster, [key], bytes), { what: `${key} is home`, deadlineMs: 40_000 }).catch((error) => {
      throw new Error(`${error.message}: ${cluster.master.output}`);
    });
  }
}
