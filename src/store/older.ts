// Owns what may be done with a ledger that is older than the volumes, until a rebuild has found what it lacks (`Age`).
// 1. A key is only written where every volume has said that it has no file of it. (Of a ledger that is incomplete the volumes
//    that are up are asked, and this rule alone holds: it says nothing wrong of the keys that it has.)
// 2. A copy that is missing may be made of one that has the recorded MD5. Nothing is written over, moved aside or removed.
// 3. A delete is owed by all volumes where the key may be.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { without } from "../format/volume";
import { type Claim, type Debt } from "../ledger/ledger";
import { type Inspected, volumesIn } from "./copies";
import { md5Of } from "./copy";
import { type Store } from "./store";

/**
 * A ledger that lacks what was acknowledged may not know a key that is there; an older one may not know that it is live.
 * @throws MkvError unavailable if a volume has a file of this key that nobody owes, or does not say that it has none
 */
export async function requireAbsent({ volumes, ledger }: Store, key: Key, ranked: readonly string[]): Promise<void> {
  const known = await ledger.get(key);
  const isOlder = ledger.age === "older";
  if (isOlder ? known?.state === "live" : known) return;
  const path = pathOf(key);
  await Promise.all(
    ranked.map(async (volume) => {
      if (!isOlder && (!volumes.health.isUp(volume) || volumes.health.isForeign(volume))) return;
      const isAbsent = async () =>
        !volumes.health.isForeign(volume) && !(await volumes.head(volume, path).catch(() => isOlder));
      const isOfFile = (debt: Debt) => debt.volume === volume && debt.kind !== "staged";
      const isOwed = async () => (await ledger.owedBy(key, isOfFile)).some(isOfFile); // It may be slow.
      if ((await isAbsent()) || (await isOwed()) || (await isAbsent())) return; // What was owed may have been removed meanwhile.
      const text = `${volume} has, or may have, a value of this key, and the index may lack it`;
      throw new MkvError("unavailable", `${text}: stop the master and run rebuild`);
    }),
  );
}

/**
 * With an index that lacks what was acknowledged, a copy that is not as the record says may be a later value.
 * @throws MkvError unavailable unless nothing is written over that is not the recorded value, and nothing removed
 */
export async function requireHarmless(
  { volumes }: Store,
  { key }: Claim,
  { seen, strays, lacking }: { seen: Inspected; strays: readonly string[]; lacking: readonly string[] },
): Promise<void> {
  const missing = volumesIn(seen, "missing");
  const isSame = async (volume: string) =>
    !(await volumes.head(volume, pathOf(key))) ||
    (seen.md5 !== undefined && (await md5Of(volumes, volume, pathOf(key))) === seen.md5);
  for (const stray of without(strays, missing)) throw older(`${stray} has a copy, which would go`);
  for (const target of without(lacking, missing))
    if (!(await isSame(target))) throw older(`${target} has another value, which would go`);
}

/** The refusal of what would have to wait for a rebuild. */
export function older(what: string): MkvError {
  return new MkvError("unavailable", `${what}, and the index may lack what lies on the volumes: run rebuild first`);
}

/** Why a file stays that no record names. */
export const mayBeOnly = "may be the only copy: the index may lack what lies on the volumes, run rebuild";
