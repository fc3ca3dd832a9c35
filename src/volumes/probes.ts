// Owns signs of life: what has just given one is relied on, anything else is asked first.
import { nowMs } from "../clock";
import { serverOf } from "../format/volume";
import { limits } from "../limits";
import { type Client } from "./client";

/** The questions for a sign of life that are under way; concurrent ones to a server are one. */
export class Probes {
  readonly #asked = new Map<string, Promise<boolean>>();
  /** By server that is silent, whether it answers such a question soon. */
  readonly #soon = new Map<string, Promise<boolean>>();

  /** Whether the server answers, and with no failure of its own. */
  ask(client: Client, server: string, timeoutMs = client.settings.voltimeoutMs): Promise<boolean> {
    const question = `${server} ${timeoutMs}`;
    const asked = this.#asked.get(question);
    if (asked) return asked;
    const answer = client.greet(server, timeoutMs).then(
      ({ status }) => status < 500,
      () => false, // Silence and refusal are the answer "no"; the health has been told which.
    );
    this.#asked.set(question, answer);
    void answer.finally(() => this.#asked.delete(question));
    return answer;
  }

  /**
   * Whether a volume is worth a question of somebody who asks for one key after the other. One that is silent is asked for a sign
   * of life again and again, and only the beginning of that is waited for.
   */
  isWorthAsking(client: Client, volume: string): true | Promise<boolean> {
    const server = serverOf(volume);
    if (!client.shared.silent.has(server)) return true;
    const known = this.#soon.get(server);
    if (known) return known;
    const answer = this.ask(client, server);
    const soon = Promise.race([answer, Bun.sleep(client.settings.voltimeoutMs / 5).then(() => false)]);
    this.#soon.set(server, soon);
    void answer.finally(() => this.#soon.delete(server));
    return soon;
  }

  /** Whether the server of the volume gives a sign of life: asks it, unless it has given one just now. */
  isAwake(client: Client, volume: string, timeoutMs?: number): true | Promise<boolean> {
    return client.health.isFresh(volume) || this.ask(client, serverOf(volume), timeoutMs);
  }

  /** Whether it gives a sign of life and has settled, which is waited for, for at most `patienceMs`. */
  async wake(client: Client, volume: string, timeoutMs?: number): Promise<boolean> {
    return (await this.isAwake(client, volume, timeoutMs)) && (await settles(client, volume, limits.patienceMs));
  }

  /** The first `wanted` of these volumes that wake, in order. */
  async firstAwake(
    client: Client,
    candidates: readonly string[],
    { wanted, timeoutMs }: { wanted: number; timeoutMs?: number },
  ): Promise<string[]> {
    const found: string[] = [];
    for (let at = 0; at < candidates.length && found.length < wanted;) {
      const asked = candidates.slice(at, at + wanted - found.length);
      const ready = await Promise.all(asked.map((volume) => this.wake(client, volume, timeoutMs)));
      found.push(...asked.filter((_, i) => ready[i]));
      at += asked.length;
    }
    return found;
  }
}

/** Whether a volume that is up settles within so long. */
export async function settles({ health }: Client, volume: string, waitMs: number): Promise<boolean> {
  const untilMs = nowMs() + waitMs;
  while (!health.isSettled(volume)) {
    if (!health.isUp(volume) || nowMs() >= untilMs) return false;
    await Bun.sleep(limits.busyPauseMs);
  }
  return true;
}
