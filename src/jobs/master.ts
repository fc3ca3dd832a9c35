// Owns the asking of a master that runs, so that a job needs no downtime: its index read by `?records`, its keys moved
// and swept by POST.
import { withDeadline } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { type Key, encodePercent, readShown } from "../format/key";
import { decodeRecord } from "../format/record";
import { type RawEntry } from "../ledger/index";
import { limits } from "../limits";
import { type Keeper } from "./keeper";

/** The master at this URL as the keeper. What it refuses is thrown with its reason, as MkvError. */
export function masterKeeper(url: string, credentials: string | undefined): Keeper {
  const ask = (method: string, target: string) => request(method, url.replace(/\/$/, "") + target, credentials);

  /** The key as a path that nothing on the way takes for another: Bun folds slashes, and everybody "..". */
  function nameOf(key: Uint8Array): string {
    const name = `/${encodePercent(key.subarray(1) as Key).replaceAll("/", "%2F")}`;
    if (/^\/\.{1,2}$/.test(name)) throw new MkvError("failed", `no URL can name the key "${name}"`);
    return name;
  }

  async function page(prefix: string, start: Uint8Array, limit: number): Promise<Page> {
    const from = encodePercent(start as Key).replaceAll("+", "%2B");
    const response = await ask("GET", `${prefix}?records&start=${from}&limit=${limit}`);
    const onTimeout = () => new MkvError("timeout", "the master has stopped in the middle of an answer");
    const { next, keys } = (await withDeadline(limits.listingMs, response.json(), onTimeout)) as Shown;
    return {
      next,
      entries: keys.map(([shown, record]) => [readShown(Buffer.from(shown)) as Uint8Array as Key, record]),
    };
  }

  return {
    async get(key) {
      const { entries } = await page(nameOf(key), key, 1);
      const found = entries.find(([name]) => Buffer.compare(name, key) === 0);
      return found && decodeRecord(found[1]);
    },
    async *scan({ start = new Uint8Array() }) {
      for (let from: Uint8Array | undefined = start; from;) {
        const { next, entries } = await page("/", from, limits.batchRecords);
        yield entries;
        from = next === "" ? undefined : readShown(Buffer.from(next));
      }
    },
    async move(key, depth) {
      const response = await ask("POST", `${nameOf(key)}?rebalance${depth === "md5" ? "&md5" : ""}`);
      const { headers } = response;
      return { changed: headers.get("key-moved") === "true", leftBehind: Number(headers.get("key-left-behind")) };
    },
    async isAmiss(key, depth) {
      const response = await ask("POST", `${nameOf(key)}?examine${depth === "md5" ? "&md5" : ""}`);
      return (await response.text()) === "amiss";
    },
    async isOrphan(key, volume) {
      const response = await ask("POST", `${nameOf(key)}?orphan=${volume}`);
      return (await response.text()) === "orphan";
    },
    async sweep(key, volume) {
      await ask("POST", `${nameOf(key)}?sweep=${volume}`);
    },
    async forget(key) {
      await ask("POST", `${nameOf(key)}?forget`);
    },
  };
}

/** An answer to `?records` as it is, and as it is read. */
type Shown = { readonly next: string; readonly keys: readonly (readonly [string, string])[] };
type Page = { readonly next: string; readonly entries: readonly RawEntry[] };

async function request(method: string, url: string, credentials: string | undefined): Promise<Response> {
  const headers: Record<string, string> = credentials ? { authorization: credentials } : {};
  const onTimeout = () => new MkvError("timeout", `the master has not answered for ${limits.jobRequestMs} ms`);
  const options = { method, headers, redirect: "manual", timeout: false } as RequestInit;
  const response = await withDeadline(limits.jobRequestMs, fetch(url, options), onTimeout).catch((error) => {
    throw error instanceof MkvError
      ? error
      : new MkvError("failed", `the master cannot be asked: ${reasonOf(error)}`, { cause: error });
  });
  if (response.ok) return response;
  const reason = (await response.text()).trim() || `the master answers ${response.status}`;
  throw new MkvError(response.status === 404 ? "absent" : response.status === 409 ? "busy" : "failed", reason);
}
