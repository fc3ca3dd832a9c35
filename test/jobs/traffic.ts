// Owns clients that write, read, unlink and delete keys of their own while something else happens to the store, and judge
// every answer that they get.
import { type Cluster } from "../support/cluster";
import { follow } from "../support/http";
import { until } from "../support/until";
import { valueOf } from "../support/values";

const CLIENTS = 4;
const KEYS_EACH = 12;

export interface Traffic extends AsyncDisposable {
  /** Keys that have gone through a whole life so far. */
  lives: number;
  /** Ends the clients, and throws the first answer that was wrong. */
  stop(): Promise<void>;
}

/** Starts the clients. They delete what they write, but for every third key, which ends up live or unlinked. */
export function startTraffic(cluster: Cluster): Traffic {
  const traffic = { lives: 0 };
  let stopped = false;
  const live = async (key: string, round: number) => {
    const value = valueOf(`${key} ${round}`, 3_000);
    await insist(cluster, "PUT", key, { body: value, wanted: 201 });
    await expectValue(cluster, key, value);
    if (round % 2 === 0) await insist(cluster, "UNLINK", key, { wanted: 204 });
    await insist(cluster, "DELETE", key, { wanted: 204 });
    const { status } = await cluster.ask("GET", key);
    if (status !== 404) throw new Error(`GET of the deleted ${key}: ${status}`);
    traffic.lives++;
  };
  const client = async (number: number) => {
    for (let round = 0; !stopped; round++) {
      await live(`/client-${number}/key-${round % KEYS_EACH}`, round);
      // The same value again and again: its record is always the same, as if nothing had happened.
      await live(`/client-${number}/same`, 1);
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  clients.catch(() => {}); // Whoever stops the traffic is told.
  const stop = async () => {
    stopped = true;
    await clients;
  };
  return Object.assign(traffic, { stop, [Symbol.asyncDispose]: () => stop().catch(() => {}) });
}

/** Asks until the answer is another than 409: the key may be on the move. */
async function insist(
  cluster: Cluster,
  method: string,
  key: string,
  { body, wanted }: { body?: Uint8Array; wanted: number },
): Promise<void> {
  const answered = async () => {
    const answer = await cluster.ask(method, key, body && { body });
    return answer.status === 409 ? undefined : answer;
  };
  const { status, text } = await until(answered, { what: `${method} ${key} is not told to wait` });
  if (status !== wanted) throw new Error(`${method} ${key}: ${status} ${text}`);
}

async function expectValue(cluster: Cluster, key: string, value: Uint8Array): Promise<void> {
  const answer = await follow(await cluster.ask("GET", key));
  if (!answer.body.equals(value)) throw new Error(`GET ${key}: ${answer.status}, ${answer.body.length} bytes`);
}
