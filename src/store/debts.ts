// Owns what is put down as owed before volumes are touched, and after; and that there is room for it.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { union, volumesOf } from "../format/volume";
import { type Claim, type Debt, fileOf } from "../ledger/ledger";
import { limits } from "../limits";
import { type Store } from "./store";

/**
 * Debts of this kind for these volumes, in the place of earlier ones for the same files, and the other earlier ones. What may
 * still be on its way to a volume is not forgotten by that.
 */
export function owe(
  earlier: readonly Debt[],
  volumes: readonly string[],
  { kind, forMs = 0 }: { kind: Debt["kind"]; forMs?: number },
): Debt[] {
  const sinceMs = nowMs();
  const added = volumes.map((volume) => {
    const before = earlier.find((debt) => fileOf(debt) === fileOf({ volume, kind }) && debt.kind !== "stray");
    return { volume, kind, sinceMs, untilMs: Math.max(sinceMs + forMs, before?.untilMs ?? 0) };
  });
  const files = added.map(fileOf);
  return [...earlier.filter((debt) => !files.includes(fileOf(debt))), ...added];
}

/** The volumes with a copy of the recorded value that is to go. */
export function straysIn(owed: readonly Debt[]): string[] {
  return volumesOf(owed.filter(({ kind }) => kind === "stray"));
}

/** The volumes that may still carry out an earlier request for a key, which owed this. */
export function barredFrom({ barred }: Claim, owed: readonly Debt[]): string[] {
  const now = nowMs();
  const pending = owed.filter(({ kind, untilMs }) => kind !== "stray" && untilMs > now);
  return union(barred, volumesOf(pending));
}

/** The debts after these volumes were written to: of those that have answered since, nothing is on its way any more. */
export function landed({ volumes }: Store, owed: readonly Debt[], written: readonly string[]): Debt[] {
  return owed.map((debt) => {
    const isOver =
      (debt.kind === "in-flight" || debt.kind === "staged") &&
      written.includes(debt.volume) &&
      volumes.health.isSettled(debt.volume);
    return isOver ? { ...debt, untilMs: 0 } : debt;
  });
}

/** Since when moves have found no room. */
let fullSinceMs: number | undefined;

/**
 * Waits while so many keys owe something that writes would soon find no room, for longer than old copies stay: all moves together.
 * @throws MkvError too-much-owed after that
 */
export async function roomForStrays({ ledger, graceMs }: Pick<Store, "ledger" | "graceMs">): Promise<void> {
  while (ledger.owing >= limits.debtsWithMoves) {
    fullSinceMs ??= nowMs();
    if (nowMs() > fullSinceMs + graceMs + limits.unsyncedMs) {
      const text = `unfinished work of ${ledger.owing} keys waits for volumes that are down: bring those back first`;
      throw new MkvError("too-much-owed", text);
    }
    await Bun.sleep(limits.busyPauseMs);
  }
  fullSinceMs = undefined;
}
