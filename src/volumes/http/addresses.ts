// Owns where servers are.
// 1. An address that answered is kept: what has been reached once needs no resolver.
// 2. Bun remembers for half a minute what a name stands for, and a kept connection stays where it is: a server with a new
//    address would be looked for at its old one, where another may answer by now. So a name that is in use is looked up
//    again and again, in the background.
// 3. The system's resolver takes a thread of the few that also write the index, for ten seconds where no server answers it:
//    one name is looked up at a time, and after a long wait none for a long time.
import { isIP } from "node:net";
import { isMainThread } from "node:worker_threads";
import { limits } from "../../limits";
import { log } from "../../log";

type Known = { addresses: readonly string[]; reached: string | undefined; dueMs: number; movedMs: number };

/** The addresses of the names that are in use. */
export class Addresses {
  readonly #known = new Map<string, Known>();
  #isAsking = false;
  #restUntilMs = 0;

  /** @param onMove told of a name that has none of its addresses any more, but others */
  constructor(readonly onMove: (name: string) => void) {}

  /** What to connect to for this name: its address, if that has answered, or is new. */
  hostFor(name: string): string {
    let known = this.#known.get(name);
    if (!known) {
      const dueMs = isIP(name) === 0 ? 0 : Number.POSITIVE_INFINITY;
      this.#known.set(name, (known = { addresses: [], reached: undefined, dueMs, movedMs: Number.NEGATIVE_INFINITY }));
    }
    const nowMs = performance.now();
    if (!this.#isAsking && nowMs >= Math.max(known.dueMs, this.#restUntilMs)) void this.#ask(name, known);
    return known.reached ?? (nowMs - known.movedMs < limits.namesKeptMs ? known.addresses[0]! : name);
  }

  /** A connection to this name has been opened, to this address. */
  reached(name: string, address: string): void {
    const known = this.#known.get(name);
    if (known && (known.addresses.length === 0 || known.addresses.includes(address))) known.reached = address;
  }

  /** A connection to this name has brought nothing: it may have others that do. */
  missed(name: string): void {
    const known = this.#known.get(name);
    if (known) known.reached = undefined;
  }

  async #ask(name: string, known: Known): Promise<void> {
    this.#isAsking = true;
    const startMs = performance.now();
    const found = await lookUp(name);
    const nowMs = performance.now();
    this.#isAsking = false;
    const tookMs = nowMs - startMs;
    if (tookMs > limits.longLookupMs) this.#restUntilMs = nowMs + tookMs * limits.lookupPause;
    known.dueMs = nowMs + limits.addressMs;
    const addresses = found.map(({ address }) => address);
    if (addresses.length === 0) return;
    const hasMoved = known.addresses.length > 0 && !addresses.some((address) => known.addresses.includes(address));
    known.addresses = addresses;
    if (!addresses.includes(known.reached ?? "")) known.reached = undefined;
    if (!hasMoved) return;
    known.movedMs = nowMs;
    if (isMainThread) log(`${name} has another address now: ${addresses[0]}`);
    this.onMove(name);
  }
}

/** None where the resolver knows none, does not answer, or refuses the name. */
async function lookUp(name: string): Promise<Bun.DNSLookup[]> {
  try {
    return await Bun.dns.lookup(name, { backend: "libc" });
  } catch {
    return []; // What was known of it stays.
  }
}
