// Owns a client of the store: one request after the other, as its chance will have it, each answer judged by the model.
import { copiesOf } from "../support/copies";
import { dial, head, request, target as targetIn, type Answer } from "../support/http";
import { md5Hex, targetOf } from "../support/values";
import { isLive, type Change, type KeyModel, type Outcome, type State } from "./model";
import { type Span } from "./nemesis";
import { outcomeOf } from "./outcome";
import { type Random } from "./random";
import { MIN_REPLICAS, type World } from "./world";

/** No request may take longer, whatever has happened to the volumes: all deadlines of one together, and some patience. */
const DEADLINE_MS = 45_000;
const actions = {
  GET: 30,
  PUT: 30,
  DELETE: 13,
  UNLINK: 7,
  REBALANCE: 7,
  list: 2,
  unlinked: 2,
  abort: 6,
  stop: 1,
  leave: 2,
};
type Action = keyof typeof actions;

export class Client {
  /** How often each action had each end. */
  readonly counts: Record<string, number> = {};
  #requests = 0;

  constructor(
    readonly world: World,
    readonly random: Random,
    readonly name: string,
  ) {}

  async run(span: Span): Promise<void> {
    while (!span.isOver()) {
      const { random, world } = this;
      const isPopular = random.fraction() < 0.25;
      const key = world.keys[random.between(0, (isPopular ? world.popular : world.keys.length) - 1)]!;
      const action = random.weighted(actions);
      const size = random.weighted({ small: 85, middling: 12, large: 3 });
      const most = { small: 20_000, middling: 500_000, large: 4_000_000 }[size];
      const bytes = random.between(64, most);
      const share = random.fraction();
      const outcome = await this.#act(action, key, { bytes, share });
      const count = `${action} ${outcome}`;
      this.counts[count] = (this.counts[count] ?? 0) + 1;
    }
  }

  async #act(action: Action, key: KeyModel, { bytes, share }: { bytes: number; share: number }): Promise<string> {
    const value = Buffer.alloc(bytes, `value ${this.name}-${this.#requests++}\n`);
    switch (action) {
      case "GET":
        return this.#read(key);
      case "list":
      case "unlinked":
        return this.#list(action);
      case "PUT":
        return this.#change(key, { kind: "PUT", md5: md5Hex(value) }, value);
      case "DELETE":
      case "UNLINK":
      case "REBALANCE":
        return this.#change(key, { kind: action });
      case "leave":
        return this.#leave(key, { kind: share < 0.5 ? "DELETE" : "UNLINK" });
      case "abort":
      case "stop":
        return this.#breakOff(key, value, { share, goesAway: action === "abort" });
    }
  }

  /** Makes a change and waits for the answer. */
  async #change(key: KeyModel, change: Change, body?: Uint8Array): Promise<Outcome> {
    const port = await this.world.port();
    const { epoch } = this.world;
    const [method, query] = change.kind === "REBALANCE" ? ["POST", "?rebalance"] : [change.kind, ""];
    const begun = key.begin(change);
    const ask = { method, target: targetOf(key.key) + query, timeoutMs: DEADLINE_MS, ...(body && { body }) };
    const answer = await request(port, ask).catch((error: Error) => error);
    const outcome = answer instanceof Error ? this.#unanswered(key, answer, epoch) : outcomeOf(key, change, answer);
    key.end(
      begun,
      outcome,
      `${this.name} ${answer instanceof Error ? answer.message : `${answer.status} ${answer.text}`}`,
    );
    if (change.kind === "PUT" && outcome === "done" && begun.others.size === 0) {
      const copies = Object.values(copiesOf(this.world.cluster, key.key)).filter((md5) => md5 === change.md5);
      if (copies.length < MIN_REPLICAS) key.violated(`acknowledged with ${copies.length} copies`, key.possible());
    }
    return outcome;
  }

  /** Sends a request and is gone before the answer. */
  async #leave(key: KeyModel, change: Change): Promise<Outcome> {
    const port = await this.world.port();
    const begun = key.begin(change);
    let outcome: Outcome = "not sent";
    try {
      using wire = await dial(port);
      wire.write(head({ method: change.kind, target: targetOf(key.key) }, { close: true }));
      outcome = "given up";
      await wire.drained();
    } catch {
      // The master is gone already.
    }
    key.end(begun, outcome, `${this.name} left`);
    return outcome;
  }

  /** Sends a part of a value, and then goes away or says nothing more. */
  async #breakOff(
    key: KeyModel,
    value: Buffer,
    { share, goesAway }: { share: number; goesAway: boolean },
  ): Promise<string> {
    const port = await this.world.port();
    const { epoch } = this.world;
    const change: Change = { kind: "PUT", md5: md5Hex(value) };
    const begun = key.begin(change);
    const headers = { "Content-Length": String(value.length) };
    let outcome: Outcome = "not sent";
    let answer: Answer | Error | undefined;
    try {
      using wire = await dial(port);
      wire.write(head({ method: "PUT", target: targetOf(key.key), headers }, { close: true }));
      wire.write(value.subarray(0, goesAway ? Math.ceil(share * value.length) : Math.floor(share * value.length)));
      outcome = "given up";
      if (goesAway) await wire.drained();
      else answer = await wire.answer({ timeoutMs: DEADLINE_MS }).catch((error: Error) => error);
    } catch {
      // The master is gone already.
    }
    if (answer instanceof Error) outcome = this.#unanswered(key, answer, epoch);
    else if (answer) outcome = outcomeOf(key, change, answer);
    const text = answer instanceof Error ? answer.message : `${answer?.status} ${answer?.text}`;
    key.end(begun, outcome, `${this.name} broke off, ${text}`);
    return outcome;
  }

  /** What became of a request without an answer; it is only in order if its master has ended. */
  #unanswered(key: KeyModel, error: Error, epoch: number): Outcome {
    if (/^no complete answer/.test(error.message)) key.violated(`a request got ${error.message}`, key.possible());
    if (/ECONNREFUSED|Failed to connect/i.test(`${error.message} ${(error as { code?: string }).code}`))
      return "not sent";
    if (this.world.epoch === epoch) key.violated(`the master lives, but ${error.message}`, key.possible());
    return "cut off";
  }

  async #read(key: KeyModel): Promise<string> {
    const port = await this.world.port();
    const { epoch } = this.world;
    const watch = key.watch();
    const ask = { target: targetOf(key.key), timeoutMs: DEADLINE_MS };
    const answer = await request(port, ask).catch((error: Error) => error);
    if (answer instanceof Error) {
      key.lookAway(watch);
      return this.#unanswered(key, answer, epoch);
    }
    const saw = (shows: (state: State) => boolean) =>
      key.saw(watch, shows, `${this.name} GET ${answer.status} ${answer.text}`);
    switch (answer.status) {
      case 404:
        saw((state) => !isLive(state));
        return "404";
      case 302:
        return this.#followed(key, watch, answer);
      case 410:
        if (watch.seen.size === 1) saw(() => false);
        break;
      case 503:
        break;
      default:
        saw(() => false);
    }
    key.lookAway(watch);
    return String(answer.status);
  }

  /** Reads the value where the redirect leads. That volume may be struck this very moment: then nothing is known. */
  async #followed(key: KeyModel, watch: ReturnType<KeyModel["watch"]>, redirect: Answer): Promise<string> {
    const { port, path } = targetIn(redirect.headers.get("location") ?? "");
    const found = await request(port, { target: path, timeoutMs: 8_000 }).catch(() => undefined);
    const text = `${this.name} GET 302 ${redirect.headers.get("key-volumes")} > ${port} ${found?.status}`;
    if (found?.status === 200) {
      const md5 = md5Hex(found.body);
      if (watch.isAlone) this.#expectCopies(key, md5, redirect.headers.get("key-volumes")!.split(","));
      key.saw(watch, (state) => state === `live ${md5}`, `${text} ${md5.slice(0, 6)} ${found.body.length} bytes`);
      return "read";
    }
    if (found?.status === 404 && watch.isAlone) key.saw(watch, () => false, text);
    key.lookAway(watch);
    return `302 and ${found?.status ?? "no answer"}`;
  }

  /** Throws unless the value lies on these volumes, whether they are up or not. */
  #expectCopies(key: KeyModel, md5: string, volumes: string[]): void {
    const copies = copiesOf(this.world.cluster, key.key);
    const lacking = volumes.filter((volume) => copies[volume] !== md5);
    if (lacking.length === 0) return;
    key.violated(`${this.name} finds no copy of ${md5} on ${lacking}, but ${JSON.stringify(copies)}`, key.possible());
  }

  async #list(operation: "list" | "unlinked"): Promise<string> {
    const port = await this.world.port();
    const { epoch, keys } = this.world;
    const watches = keys.map((key) => key.watch());
    const answer = await request(port, { target: `/?${operation}`, timeoutMs: DEADLINE_MS }).catch(
      (error: Error) => error,
    );
    keys.forEach((key, i) => key.lookAway(watches[i]!));
    if (answer instanceof Error) return this.#unanswered(keys[0]!, answer, epoch);
    const listed = new Set<string>(JSON.parse(answer.text).keys);
    keys.forEach((key, i) => {
      const states = [...watches[i]!.seen];
      const isListed = (state: State) => (operation === "list" ? isLive(state) : state === "unlinked");
      const mayBe = (state: State) => isListed(state) || (operation === "unlinked" && state === "hollow");
      if (!listed.has(key.key) && states.every(isListed)) key.violated(`${this.name} ?${operation} lacks it`, states);
      if (listed.has(key.key) && !states.some(mayBe)) key.violated(`${this.name} ?${operation} has it`, states);
    });
    return "listed";
  }
}
