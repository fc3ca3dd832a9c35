// Owns the storm over several masters: clients that ask any of them, and what is done to masters and database meanwhile.
import { type Cluster } from "../support/cluster";
import { follow, request, type Answer } from "../support/http";
import { type Master } from "../support/master";
import { type Postgres } from "../support/postgres";
import { md5Hex } from "../support/values";
import { isLive, type Change, type KeyModel, type State } from "../chaos/model";
import { type Random } from "../chaos/random";

/** A store with several masters; a seat stays empty while its master is down. */
export type Several = {
  readonly cluster: Cluster;
  readonly server: Postgres;
  readonly keys: readonly KeyModel[];
  readonly seats: (Master | undefined)[];
  /** Masters that do nothing now: hardly anybody asks them. */
  readonly stopped: Set<Master>;
  readonly counts: Record<string, number>;
  /** What masters said that have ended. */
  said: string;
};

export type Span = { readonly isOver: () => boolean };

/** Longer than a master is ever stopped: it is either heard then, or gone. */
const DEADLINE_MS = 60_000;
const count = (several: Several, what: string) => void (several.counts[what] = (several.counts[what] ?? 0) + 1);

/** One request after the other, each answer judged by the model. */
export async function runClient(several: Several, random: Random, span: Span): Promise<void> {
  for (let n = 0; !span.isOver(); n++) {
    const key = random.pick(several.keys);
    const action = random.weighted({ GET: 35, PUT: 35, DELETE: 20, UNLINK: 7, list: 3 });
    const master = random.pick(several.seats);
    const isAvoided = master && several.stopped.has(master) && random.fraction() > 0.02;
    if (!master || isAvoided) await Bun.sleep(20);
    else if (action === "GET") await read(several, master, key);
    else if (action === "list") await list(several, master);
    else {
      const value = Buffer.alloc(random.between(10, 20_000), `value ${key.key} ${random.fraction()}\n`);
      const change: Change = action === "PUT" ? { kind: "PUT", md5: md5Hex(value) } : { kind: action };
      await make(several, { master, key, change, value });
    }
  }
}

/** Asks; undefined if the master is gone. It must answer, though it may have been stopped meanwhile. */
async function ask(master: Master, key: KeyModel, change: Parameters<typeof request>[1]): Promise<Answer | undefined> {
  try {
    return await request(master.port, { ...change, timeoutMs: DEADLINE_MS });
  } catch (error) {
    if (/^no complete answer/.test((error as Error).message)) key.violated("a request got no answer", key.possible());
    return undefined;
  }
}

async function make(
  several: Several,
  { master, key, change, value }: { master: Master; key: KeyModel; change: Change; value: Buffer },
): Promise<void> {
  const begun = key.begin(change);
  const body = change.kind === "PUT" ? { body: value } : {};
  const answer = await ask(master, key, { method: change.kind, target: key.key, ...body });
  const outcome = outcomeOf(key, change, answer);
  count(several, `${change.kind} ${outcome}`);
  key.end(begun, outcome, `master ${master.port}: ${answer?.status ?? "gone"} ${answer?.text.trim() ?? ""}`);
}

/** 503: nobody knows, for as long as a statement may lie in a frozen server. */
function outcomeOf(key: KeyModel, { kind }: Change, answer: Answer | undefined) {
  if (!answer || answer.status === 503) return "given up";
  if (answer.status === 201 || answer.status === 204) return "done";
  if (answer.status === 409) return "busy";
  if (answer.status === (kind === "PUT" ? 403 : 404)) return "denied";
  return key.violated(`${kind} was answered with ${answer.status} ${answer.text}`, key.possible());
}

async function read(several: Several, master: Master, key: KeyModel): Promise<void> {
  const watch = key.watch();
  const answer = await ask(master, key, { target: key.key });
  const saw = (shows: (state: State) => boolean, more = "") =>
    key.saw(watch, shows, `master ${master.port}: GET ${answer?.status} ${more}`);
  if (answer?.status === 404) {
    count(several, "GET 404");
    return saw((state) => !isLive(state));
  }
  if (answer?.status === 302) {
    const found = await follow(answer).catch(() => undefined);
    if (found?.status === 200) {
      const md5 = md5Hex(found.body);
      count(several, "GET read");
      return saw((state) => state === `live ${md5}`, md5.slice(0, 6));
    }
    if (found?.status === 404 && watch.isAlone) saw(() => false, "and its volume has no such file");
  } else if (answer && answer.status !== 503 && answer.status !== 410) saw(() => false, answer.text);
  if (answer?.status === 410 && watch.isAlone && watch.seen.size === 1) saw(() => false, answer.text);
  count(several, `GET ${answer?.status ?? "gone"}`);
  key.lookAway(watch);
}

async function list({ keys }: Several, master: Master): Promise<void> {
  const watches = keys.map((key) => key.watch());
  const answer = await ask(master, keys[0]!, { target: "/?list" });
  keys.forEach((key, i) => key.lookAway(watches[i]!));
  if (answer?.status !== 200) return;
  const listed = new Set<string>(JSON.parse(answer.text).keys);
  keys.forEach((key, i) => {
    const states = [...watches[i]!.seen];
    if (!listed.has(key.key) && states.every(isLive)) key.violated(`master ${master.port}: ?list lacks it`, states);
    if (listed.has(key.key) && !states.some(isLive)) key.violated(`master ${master.port}: ?list has it`, states);
  });
}

/** Kills masters and starts others in their place, and stops some, now and then for longer than their claims hold. */
export async function strikeMasters(several: Several, random: Random, span: Span): Promise<void> {
  const { cluster, seats } = several;
  for (let round = 0; !span.isOver(); round++) {
    const seat = random.between(0, seats.length - 1);
    const master = seats[seat]!;
    const fault = round === 0 ? "long stop" : random.weighted({ kill: 5, end: 1, stop: 4, "long stop": 1 });
    count(several, fault);
    if (fault === "stop" || fault === "long stop") {
      several.stopped.add(master);
      master.process.signal("SIGSTOP");
      await Bun.sleep(fault === "stop" ? random.between(200, 3_000) : random.between(12_500, 15_000));
      master.process.signal("SIGCONT");
      several.stopped.delete(master);
    } else {
      seats[seat] = undefined;
      await master.process.end(fault === "kill" ? "SIGKILL" : "SIGTERM");
      several.said += master.output;
      await restarted(cluster, async (next) => void (seats[seat] = next));
    }
    await Bun.sleep(random.between(100, 1_500));
  }
}

/** Another master, as soon as the database lets one start. */
async function restarted(cluster: Cluster, use: (master: Master) => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await use(await cluster.anotherMaster());
    } catch (error) {
      if (tries === 20 || !/cannot be asked|not within/.test((error as Error).message)) throw error;
    }
  }
}

/** Freezes connections of the database, ends them, and restarts it. */
export async function strikeDatabase(several: Several, random: Random, span: Span): Promise<void> {
  const { server } = several;
  while (!span.isOver()) {
    const fault = random.weighted({ "frozen backend": 5, "ended backends": 3, restart: 1, "frozen database": 1 });
    count(several, fault);
    const backends = await server.backendsOf("postgres");
    if (fault === "frozen backend" && backends.length > 0) {
      using _frozen = server.freeze(random.pick(backends));
      await Bun.sleep(random.between(200, 5_000));
    } else if (fault === "ended backends") {
      const text =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";
      await server.query(text, ["postgres"]);
    } else if (fault === "restart") {
      await server.stop("SIGQUIT");
      await server.start();
    } else if (fault === "frozen database") {
      using _frozen = server.freezeAll();
      await Bun.sleep(random.between(500, 4_000));
    }
    await Bun.sleep(random.between(100, 1_000));
  }
}
