// Owns writers that go on until they are told to stop, and a ledger of what they were told.
import { type Answer } from "../support/http";
import { targetOf, valueOf } from "../support/values";

/** What a key may be: one thing once that was acknowledged, several while nobody has said. */
export type Fate = "stored" | "unlinked" | "absent";
export type Entry = { readonly key: string; readonly value: Buffer; readonly fates: readonly Fate[] };

export type TrafficOptions = {
  ask: (method: string, target: string, body?: Buffer) => Promise<Answer>;
  writers: number;
  /** Whether keys are also deleted, unlinked and written again. */
  mixed: boolean;
};

const SIZES = [1, 700, 5_000, 20_000, 150_000];

export class Traffic {
  readonly entries = new Map<string, Entry>();
  /** Requests that were answered with success. */
  acknowledged = 0;
  private stopped = false;
  private readonly running: Promise<unknown>;

  constructor(private readonly options: TrafficOptions) {
    const writers = Array.from({ length: options.writers }, (_, number) => this.write(number));
    this.running = Promise.all(writers);
  }

  /** Ends the writers; what is under way then is waited for. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** The keys of which it was said that they are this. */
  those(fate: Fate): Entry[] {
    return [...this.entries.values()].filter(({ fates }) => fates.length === 1 && fates[0] === fate);
  }

  /** The keys of which nobody has said what they are. */
  unsure(): Entry[] {
    return [...this.entries.values()].filter(({ fates }) => fates.length > 1);
  }

  private async write(number: number): Promise<void> {
    for (let i = 0; !this.stopped; i++) {
      const key = `/writer-${number}/välue/${i}`;
      await this.step("PUT", { key, value: valueOf(key, SIZES[i % SIZES.length]), fates: ["absent"] }, "stored");
      if (!this.options.mixed || i % 2 === 0) continue;
      const earlier = this.entries.get(`/writer-${number}/välue/${i - 1}`)!;
      if (earlier.fates.length > 1) continue;
      if (i % 8 === 1) await this.step("UNLINK", earlier, "unlinked");
      else await this.step("DELETE", earlier, "absent");
      if (i % 8 < 5) continue;
      const again = this.entries.get(earlier.key)!;
      if (again.fates.length > 1) continue;
      await this.step("PUT", { ...again, value: valueOf(`${earlier.key} again`, 3_000) }, "stored");
    }
  }

  /** Asks for a change, and notes before that it may have happened, after it that it has. */
  private async step(method: string, before: Entry, fate: Fate): Promise<void> {
    const { key, value } = before;
    this.entries.set(key, { ...before, fates: [...new Set([...before.fates, fate])] });
    const body = method === "PUT" ? value : undefined;
    const answer = await this.options.ask(method, targetOf(key), body).catch(() => undefined); // Nobody has said.
    if (!answer || answer.status >= 300) return;
    this.entries.set(key, { key, value, fates: [fate] });
    this.acknowledged++;
  }
}
