// Owns the asking of a master that runs, so that a job needs no downtime: its index read by `?records`, its keys moved
// and swept by POST.
import { withDeadline } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { type Key, encodePercent, readShown, showKey } from "../format/key";
import { type Topology } from "../format/placement";
import { isVolumeName } from "../format/volume";
import { type RawEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { type Healed } from "../store/heal";
import { type OrphanSeen } from "../store/orphan";
import { type JobTarget } from "./target";

/** The master at this URL as the target. What it refuses is thrown with its reason, as MkvError. */
export function masterTarget(url: string, credentials: string | undefined): JobTarget {
  const ask = (method: string, target: string, body?: string) =>
    request(url.replace(/\/$/, "") + target, { method, credentials, body });

  /** The key as a path that nothing on the way takes for another: Bun folds slashes, and everybody "..". */
  function nameOf(key: Uint8Array): string {
    const name = `/${encodePercent(key.subarray(1) as Key).replaceAll("/", "%2F")}`;
    if (/^\/\.{1,2}$/.test(name)) throw new MkvError("failed", `no URL can name the key "${name}"`);
    return name;
  }

  async function page(start: Uint8Array): Promise<Page> {
    const from = encodePercent(start as Key).replaceAll("+", "%2B");
    const response = await ask("GET", `/?records&start=${from}&limit=${limits.batchRecords}`);
    const { next, keys } = (await whole(response)) as Shown;
    return {
      next,
      entries: keys.map(([shown, record]) => [readShown(Buffer.from(shown)) as Uint8Array as Key, record]),
    };
  }

  return {
    async *scan() {
      for (let from: Uint8Array | undefined = new Uint8Array(); from;) {
        const { next, entries } = await page(from);
        yield entries;
        from = next === "" ? undefined : readShown(Buffer.from(next));
      }
    },
    async getAll(keys) {
      const response = await ask("POST", "/?records", JSON.stringify(keys.map(showKey)));
      return ((await whole(response)) as (string | null)[]).map((record) => record ?? undefined);
    },
    async move(key, depth) {
      const response = await ask("POST", `${nameOf(key)}?rebalance${depth === "md5" ? "&md5" : ""}`);
      const { headers } = response;
      return { changed: headers.get("key-moved") === "true", leftBehind: Number(headers.get("key-left-behind")) };
    },
    async heal(key, { depth, repair, forget }) {
      const how = `${depth === "md5" ? "&md5" : ""}${repair ? "&repair" : ""}${forget ? "&forget" : ""}`;
      return (await whole(await ask("POST", `${nameOf(key)}?examine${how}`))) as Healed;
    },
    async adopt(name) {
      await ask("POST", `/?adopt=${encodeURIComponent(name)}`);
    },
    async orphan(key, { volume, repair, remove }) {
      const how = `${repair ? "&repair" : ""}${remove ? "&remove" : ""}`;
      return (await whole(await ask("POST", `${nameOf(key)}?orphan=${volume}${how}`))) as OrphanSeen;
    },
  };
}

/** The JSON of an answer. */
function whole(response: Response): Promise<unknown> {
  const onTimeout = () => new MkvError("timeout", "the master has stopped in the middle of an answer");
  return withDeadline(limits.listingMs, response.json(), onTimeout);
}

/** An answer to `?records` as it is, and as it is read. */
type Shown = { readonly next: string; readonly keys: readonly (readonly [string, string])[] };
type Page = { readonly next: string; readonly entries: readonly RawEntry[] };

async function request(
  url: string,
  { method, credentials, body }: { method: string; credentials: string | undefined; body: string | undefined },
): Promise<Response> {
  const headers: Record<string, string> = credentials ? { authorization: credentials } : {};
  const onTimeout = () => new MkvError("timeout", `the master has not answered for ${limits.jobRequestMs} ms`);
  const options = { method, headers, body, redirect: "manual", timeout: false } as RequestInit;
  const response = await withDeadline(limits.jobRequestMs, fetch(url, options), onTimeout).catch((error) => {
    throw error instanceof MkvError ? error : new MkvError("failed", noMaster(url, error), { cause: error });
  });
  if (response.ok) return response;
  const reason = (await response.text()).trim() || `the master answers ${response.status}`;
  throw new MkvError(response.status === 404 ? "absent" : response.status === 409 ? "busy" : "failed", reason);
}

function noMaster(url: string, error: unknown): string {
  const code = (error as { code?: string }).code ?? reasonOf(error);
  return `the master at ${new URL(url).origin} cannot be reached (${code}): is it running, and is -master right?`;
}

/** What the store of this master looks like. Throws MkvError failed, timeout. */
export async function askTopology(url: string, credentials: string | undefined): Promise<Topology> {
  const response = await request(`${url.replace(/\/$/, "")}/?topology`, {
    method: "GET",
    credentials,
    body: undefined,
  });
  const told = await whole(response).catch(() => undefined);
  if (isTopology(told)) return told;
  throw new MkvError("failed", `what answers at ${new URL(url).origin} is no master of mkv: is -master right?`);
}

function isTopology(told: unknown): told is Topology {
  const { volumes, replicas, subvolumes } = (told ?? {}) as Partial<Topology>;
  return (
    Array.isArray(volumes) &&
    volumes.every(isVolumeName) &&
    typeof replicas === "number" &&
    typeof subvolumes === "number"
  );
}

/** The text of a backup of the ledger of this master, as it comes. Throws MkvError failed, timeout. */
export async function* masterBackup(url: string, credentials: string | undefined): AsyncGenerator<Uint8Array> {
  const target = `${url.replace(/\/$/, "")}/?export`;
  const { body } = await request(target, { method: "GET", credentials, body: undefined });
  const onTimeout = () => new MkvError("timeout", "the master has stopped in the middle of the backup");
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await withDeadline(limits.listingMs, reader.read(), onTimeout).catch((error) => {
        if (error instanceof MkvError) throw error;
        throw new MkvError("failed", `the master broke off: ${reasonOf(error)}`, { cause: error });
      });
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
    const response = await fetch(`${url.replace(/\/$/, "")}/status`, { redirect: "manual" });
    return response.ok ? await response.json() : undefined;
  };
  return await withDeadline(limits.statusMs, ask(), onTimeout).catch((error) => {
    if (error instanceof MkvError) throw error;
    const code = (error as { code?: string }).code ?? reasonOf(error);
    const hint = "is the master running with -adminport, and is -admin right?";
    throw new MkvError("failed", `${url} cannot be asked (${code}): ${hint}`, { cause: error });
  });
}
