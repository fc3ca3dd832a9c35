// Owns the playing of a case, and its judgement: what was acknowledged is there, what was refused is not, and of what was cut
// off there is all or nothing.
import { type Cluster } from "../support/cluster";
import { dial, follow } from "../support/http";
import { until } from "../support/until";
import { md5Hex } from "../support/values";
import { type Case, type Sent } from "./fuzz-requests";

const properMs = 15_000; // A proper request has an answer by then.
const oddMs = 100; // Any other may have none.

/** What a case may leave behind, by its token. */
export class Judge {
  readonly #mayBeStored = new Map<string, Set<string>>();

  constructor(readonly cluster: Cluster) {}

  /** Plays a case and judges what it has left. Throws an Error that says what is wrong. */
  async try(sent: Case): Promise<void> {
    const { token, requests } = sent;
    const removed = requests.filter(({ effect }) => effect === "remove");
    for (const { key } of removed) await this.cluster.store(key);
    const stored = requests.flatMap(({ value, smuggled }) => [value, smuggled]);
    const allowed = [...stored, ...removed.map(({ key }) => valueOfVictim(key))].filter((each) => each !== undefined);
    this.#mayBeStored.set(token, new Set(allowed.map(md5Hex)));
    const statuses = await play(this.cluster.master.port, sent);
    const values = await this.#read(token);
    requests.forEach((request, i) => judge(request, statuses[i], values));
    await this.#serves(`/${token}-well-behaved`);
    await this.clear(token);
  }

  /** Removes the keys of a case, or of all, and checks that each has a value which was sent. */
  async clear(token?: string): Promise<void> {
    await this.#read(token);
    for (const key of [...(await this.#keys("list", token)), ...(await this.#keys("unlinked", token))]) {
      const gone = async () => [204, 404].includes((await this.cluster.ask("DELETE", targetOf(key))).status);
      await until(gone, { what: `${key} is deleted`, deadlineMs: 20_000 });
    }
  }

  async #read(token?: string): Promise<Set<string>> {
    const values = new Set<string>();
    for (const key of await this.#keys("list", token)) {
      const body = await until(() => this.#valueOf(key), { what: `the value of ${key}, or that it is gone` });
      if (body === "gone") continue;
      const owner = /f\d+(?=-)/.exec(key)?.[0];
      if (!this.#mayBeStored.get(owner ?? "")?.has(md5Hex(body)))
        throw new Error(`${JSON.stringify(key)} has a value that nobody may have stored: ${shown(body)}`);
      values.add(md5Hex(body));
    }
    return values;
  }

  /** What a key has; undefined if it is just being removed. */
  async #valueOf(key: string): Promise<Buffer | "gone" | undefined> {
    const answer = await this.cluster.ask("GET", targetOf(key));
    if (answer.status === 404) return "gone";
    const { status, body } = await follow(answer);
    return status === 200 ? body : undefined;
  }

  async #keys(operation: "list" | "unlinked", token?: string): Promise<string[]> {
    const keys = await this.cluster.keys(operation);
    return token === undefined ? keys : keys.filter((key) => key.includes(`${token}-`));
  }

  async #serves(key: string): Promise<void> {
    const { cluster } = this;
    this.#mayBeStored.get(key.slice(1).split("-")[0]!)!.add(md5Hex(key));
    const written = async () => (await cluster.ask("PUT", key, { body: key })).status === 201;
    await until(written, { what: "a PUT is served", deadlineMs: 5_000 });
    const { text } = await follow(await cluster.ask("GET", key));
    const { status } = await cluster.ask("DELETE", key);
    if (text !== key || status !== 204) throw new Error(`a well-behaved client got "${text}", and ${status} to DELETE`);
  }
}

function judge(
  { key, effect, value, isProper, isAmbiguous, isInOrder }: Sent,
  status: number | undefined,
  values: ReadonlySet<string>,
): void {
  if (status === 500) throw new Error(`500 to the request for ${key}`);
  if (isProper && status === undefined) throw new Error(`a proper request for ${key} has no answer`);
  const isThere = values.has(md5Hex(effect === "remove" ? valueOfVictim(key) : (value ?? "")));
  const isDone = isInOrder && status !== undefined && status >= 200 && status < 300;
  const isRefused = !isAmbiguous && status !== undefined && status >= 400;
  if (effect === "put" && isDone && !isThere) throw new Error(`${status} to a PUT of ${key}, whose value is not there`);
  if (effect === "put" && isRefused && isThere) throw new Error(`${status} to a PUT of ${key}, whose value is there`);
  if (effect === "remove" && isDone && isThere) throw new Error(`${status} to a removal of ${key}, which is there`);
  if (effect === "remove" && isRefused && !isThere) throw new Error(`${status} to a removal of ${key}, which is gone`);
}

function valueOfVictim(key: string): Buffer {
  return Buffer.from(`value of ${key}`);
}

/** Sends a case; the status of the answer to each request, if one came. */
async function play(port: number, { requests, isPipelined, ending, lastBytes, pieces }: Case) {
  using wire = await dial(port);
  const statuses: (number | undefined)[] = [];
  const read = async (request: Sent) => {
    const timeoutMs = request.isProper ? properMs : oddMs;
    const answer = wire.answer({ toHead: request.isHead, timeoutMs });
    statuses.push(
      await answer.then(
        ({ status }) => status,
        (error: Error) => {
          if (/not a status line/.test(error.message)) throw error;
          return undefined;
        },
      ),
    );
  };
  for (const request of requests) {
    const isLast = request === requests.at(-1);
    let left = isLast ? lastBytes : request.bytes.length;
    for (const { bytes, pauseMs } of pieces(request)) {
      wire.write(bytes.subarray(0, left));
      left -= Math.min(bytes.length, left);
      if (left > 0) await Bun.sleep(pauseMs);
    }
    if (isLast && ending === "cut") return statuses;
    if (isLast && ending === "half") wire.end();
    if (!isPipelined) await read(request);
  }
  if (isPipelined) for (const request of requests) await read(request);
  return statuses;
}

function shown(bytes: Buffer): string {
  return `${bytes.length} bytes, ${JSON.stringify(bytes.toString("latin1", 0, 500))}`;
}

/** The target that names a key as a list shows it, however odd it is: bytes that are not UTF-8 are shown above U+10FF00. */
function targetOf(shown: string): string {
  const bytes = [...shown.slice(1)].flatMap((character) => {
    const point = character.codePointAt(0)!;
    return point >= 0x10ff00 ? [point - 0x10ff00] : [...Buffer.from(character)];
  });
  return `/${bytes.map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`;
}
