// Owns the asking of a master that runs, so that a job needs no downtime: its index read by `?records`, its keys moved
// and swept by POST.
import { withDeadline } from "../deadline";
import { type ErrorCode, MkvError, reasonOf } from "../errors";
import { type Key, encodePercent, keyAfter, keyOf, showKey } from "../format/key";
import { type Topology } from "../format/placement";
import { isVolumeName } from "../format/volume";
import { limits } from "../limits";
import { shaped } from "../shape";
import { type Healed } from "../store/heal";
import { type OrphanSeen } from "../store/orphan";
import { type JobMemory } from "../store/job-memory";
import { paceOf } from "../store/pace";
import { Turns } from "../turns";
import { type JobTarget } from "./target";

/**
 * The master at this URL as the target. What it refuses is thrown with its reason, as MkvError.
 * @param options.bytesPerSecond how fast keys may be moved; 0 is no limit. Fewer move at once then, each by its share of it.
 */
export function masterTarget(
  url: string,
  { credentials, bytesPerSecond }: { credentials: string | undefined; bytesPerSecond: number },
): JobTarget {
  const pace = paceOf(bytesPerSecond);
  const turns = new Turns(bytesPerSecond > 0 ? limits.pacedMovesAtOnce : limits.movesAtOnce);
  const rate = bytesPerSecond > 0 ? `&rate=${Math.ceil(bytesPerSecond / limits.pacedMovesAtOnce)}` : "";
  const ask = (method: string, target: string, body?: string) => request(url, target, { method, credentials, body });

  /** The key as a path that nothing on the way takes for another: Bun folds slashes, and everybody "..". */
  function nameOf(key: Uint8Array): string {
    const name = `/${encodePercent(key.subarray(1) as Key).replaceAll("/", "%2F")}`;
    if (/^\/\.{1,2}$/.test(name)) throw new MkvError("failed", `no URL can name the key "${name}"`);
    return name;
  }

  return {
    async *scan(after) {
      for (let from: Uint8Array | undefined = after ? keyAfter(after) : new Uint8Array(); from;) {
        const start = encodePercent(Buffer.from(showKey(from)) as Uint8Array as Key).replaceAll("+", "%2B");
        const page = await whole(await ask("GET", `/?records&start=${start}&limit=${limits.batchRecords}`));
        const { next, keys } = page as { next: string; keys: readonly (readonly [string, string])[] };
        yield keys.map(([shown, record]) => [keyOf(shown), record]);
        from = next === "" ? undefined : keyOf(next);
      }
    },
    async getAll(keys) {
      const response = await ask("POST", "/?records", JSON.stringify(keys.map(showKey)));
      return ((await whole(response)) as (string | null)[]).map((record) => record ?? undefined);
    },
    async move(key, how) {
      using _turn = await turns.enter();
      const { headers } = await ask("POST", `${nameOf(key)}?rebalance${rate}${wordsOf(how)}`);
      const bytes = Number(headers.get("key-bytes"));
      if (!how.dryRun) await pace(bytes); // Many small ones, each of which the master has moved at once.
      const leftBehind = Number(headers.get("key-left-behind"));
      return { changed: headers.get("key-moved") === "true", leftBehind, bytes };
    },
    async heal(key, { depth, ...how }) {
      const words = wordsOf({ md5: depth === "md5", ...how });
      const response = await ask("POST", `${nameOf(key)}?examine${words}`);
      return { ...((await whole(response)) as Healed), bytes: Number(response.headers.get("key-bytes")) };
    },
    async adopt(name) {
      await ask("POST", `/?adopt=${encodeURIComponent(name)}`);
    },
    async orphan(key, { place, volume, ...how }) {
      return (await whole(await ask("POST", `${nameOf(key)}?${place}=${volume}${wordsOf(how)}`))) as OrphanSeen;
    },
    async recall(job) {
      return ((await whole(await ask("GET", `/?job=${job}`))) as JobMemory | null) ?? {}; // Masters of before say null.
    },
    async remember(job, memory) {
      await ask("POST", `/?job=${job}`, JSON.stringify(memory));
    },
  };
}

/** What is asked for, as parameters. */
function wordsOf(how: Readonly<Record<string, boolean>>): string {
  const asked = Object.keys(how).filter((name) => how[name]);
  return asked.map((name) => (name === "dryRun" ? "&dry-run" : `&${name}`)).join("");
}

/** The JSON of an answer. */
function whole(response: Response): Promise<unknown> {
  return withDeadline(limits.listingMs, response.json(), silent);
}

const silent = () => new MkvError("timeout", "the master has stopped in the middle of an answer");

type Asking = { method?: string; credentials: string | undefined; body?: string | undefined };

async function request(base: string, target: string, { method = "GET", credentials, body }: Asking): Promise<Response> {
  const headers: Record<string, string> = credentials ? { authorization: credentials } : {};
  const onTimeout = () => new MkvError("timeout", `the master has not answered for ${limits.jobRequestMs} ms`);
  const options = { method, headers, body, redirect: "manual", timeout: false, proxy: false } as RequestInit;
  const answer = fetch(base + target, options).catch((error) => {
    const where = `the master at ${new URL(base).origin} cannot be reached (${codeOf(error)})`;
    throw new MkvError("failed", `${where}: is it running, and is -master right?`, { cause: error });
  });
  const response = await withDeadline(limits.jobRequestMs, answer, onTimeout);
  if (response.ok) return response;
  const text = withDeadline(limits.patienceMs, response.text(), silent).catch(() => ""); // That it is refused is known.
  const reason = (await text).trim() || `the master answers ${response.status}`;
  throw new MkvError(codes[response.status] ?? "failed", reason);
}

/** What a job makes of a status: some of it may pass. */
const codes: Readonly<Record<number, ErrorCode>> = {
  404: "absent",
  409: "busy",
  502: "volume-failed",
  503: "unavailable",
  504: "timeout",
};

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? reasonOf(error);
}

/** What the store of this master looks like. Throws MkvError failed, timeout. */
export async function askTopology(url: string, credentials: string | undefined): Promise<Topology> {
  const response = await request(url, "/?topology", { credentials });
  const told = await whole(response).catch(() => undefined);
  const topology = shaped<Topology>(told, { volumes: [""], replicas: 0, subvolumes: 0 });
  if (topology?.volumes.every(isVolumeName)) return topology;
  throw new MkvError("failed", `what answers at ${new URL(url).origin} is no master of mkv: is -master right?`);
}

/** The text of a backup of the ledger of this master, as it comes. Throws MkvError failed, timeout. */
export async function* masterBackup(url: string, credentials: string | undefined): AsyncGenerator<Uint8Array> {
  const { body } = await request(url, "/?export", { credentials });
  const onTimeout = () => new MkvError("timeout", "the master has stopped in the middle of the backup");
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const piece = reader.read().catch((error) => {
        throw new MkvError("failed", `the master broke off: ${reasonOf(error)}`, { cause: error });
      });
      const { done, value } = await withDeadline(limits.listingMs, piece, onTimeout);
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {}); // It may have broken already.
  }
}

/** What a master says of itself at the URL of its admin port. Throws MkvError failed, timeout. */
export async function askStatus(url: string): Promise<unknown> {
  const onTimeout = () => new MkvError("timeout", `${url} has not answered for ${limits.statusMs} ms`);
  const ask = async () => {
    const response = await fetch(`${url}/status`, { redirect: "manual", proxy: false });
    return response.ok ? await response.json() : undefined;
  };
  const answer = ask().catch((error) => {
    const hint = "is the master running with -adminport, and is -admin right?";
    throw new MkvError("failed", `${url} cannot be asked (${codeOf(error)}): ${hint}`, { cause: error });
  });
  return await withDeadline(limits.statusMs, answer, onTimeout);
}
