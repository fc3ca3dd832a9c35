// Owns where servers are. Bun remembers for half a minute what a name stands for, and a kept connection stays where it is: a
// server with a new address would be looked for at its old one, where another may answer by now. So a name that is in use is
// looked up again and again, in the background.
import { isIP } from "node:net";
import { isMainThread } from "node:worker_threads";
import { limits } from "../../limits";
import { log } from "../../log";

type Known = { addresses: readonly string[]; isAsked: boolean; dueMs: number; movedMs: number };

/** The addresses of the names that are in use. */
export class Addresses {
  readonly #known = new Map<string, Known>();

  /** @param onMove told of a name that has none of its addresses any more, but others */
  constructor(readonly onMove: (name: string) => void) {}

  /** What to connect to for this name: its address, if it has just moved. */
  hostFor(name: string): string {
    let known = this.#known.get(name);
    if (!known) {
      const dueMs = isIP(name) === 0 ? 0 : Number.POSITIVE_INFINITY;
      this.#known.set(name, (known = { addresses: [], isAsked: false, dueMs, movedMs: Number.NEGATIVE_INFINITY }));
    }
    const nowMs = performance.now();
    if (!known.isAsked && nowMs >= known.dueMs) void this.#ask(name, known);
    return nowMs - known.movedMs < limits.namesKeptMs ? known.addresses[0]! : name;
  }

  async #ask(name: string, known: Known): Promise<void> {
    known.isAsked = true;
    const startMs = performance.now();
    const found = await Bun.dns.lookup(name, { backend: "libc" }).catch(() => []); // Whom we know stays where he was.
    const nowMs = performance.now();
    known.isAsked = false;
    known.dueMs = nowMs + Math.max(limits.addressMs, (nowMs - startMs) * limits.lookupPause);
    const addresses = found.map(({ address }) => address);
    if (addresses.length === 0) return;
    const hasMoved = known.addresses.length > 0 && !addresses.some((address) => known.addresses.includes(address));
    known.addresses = addresses;
    if (!hasMoved) return;
    known.movedMs = nowMs;
    if (isMainThread) log(`${name} has another address now: ${addresses[0]}`);
    this.onMove(name);
  }
}
