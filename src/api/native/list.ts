// Owns the answers that list keys. `?list` and `?unlinked`: {"next": "", "keys": ["/a", "/b"]}; `?records`, for jobs that
// work through this master: {"next": "", "keys": [["/a", "HASH...localhost:3001/sv05"], ...]} of all states.
import { MkvError } from "../../errors";
import { type Key, readShown } from "../../format/key";
import { isUnlinked } from "../../format/record";
import { type ShownEntry } from "../../ledger/ledger";
import { limits } from "../../limits";
import { isReservedName } from "../../store/uploads";
import { list } from "../../store/find";
import { type Store } from "../../store/store";
import { Turns } from "../../turns";
import { ofLength, withBody } from "../requests";
import { Exports, Sending, type Share, dropping } from "./sending";
import { streamed } from "../stream";
import { type Parameter } from "../url";

type ListKind = "list" | "unlinked" | "records";

export class Lists {
  /** Lists that are gathered at once take turns; pages of `pageKeys` do not. */
  readonly turns = new Turns(limits.listsAtOnce);
  readonly long = new Sending(limits.sendingBytes);
  readonly pages = new Sending(limits.pagesBytes);
  readonly exports = new Exports();
}

/** What a list needs of its request; `cut` ends the connection of its client. */
type ListRequest = {
  readonly kind: ListKind;
  readonly parameters: readonly Parameter[];
  readonly asked: { readonly request: Request; readonly method: string; cut(): void };
};

/**
 * Lists the keys that begin with `prefix`.
 * @throws MkvError bad-request for a bad limit, too-many over 1,000,000 keys without one, unavailable
 */
export async function answerList(
  { store, lists }: { store: Store; lists: Lists },
  prefix: Key,
  { kind, parameters, asked }: ListRequest,
): Promise<Response> {
  const start = readShown(parameters.find(({ name }) => name === "start")?.value ?? prefix);
  const limit = readLimit(parameters.find(({ name }) => name === "limit")?.value);
  const isPage = limit !== undefined && limit <= limits.pageKeys;
  using held = new DisposableStack();
  const share = held.use((isPage ? lists.pages : lists.long).share());
  const turns = { all: lists.turns, isDue: !isPage };
  const pieces = await gather(store, { prefix, start, kind, limit, signal: asked.request.signal, share, turns });
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  share.hold(bytes);
  const headers = { "content-type": "application/json" };
  if (asked.method === "HEAD") return new Response(Buffer.concat(pieces), { headers });
  if (bytes <= limits.shortAnswerBytes) return withBody(Buffer.concat(pieces), { headers });
  held.move();
  const body = streamed(dropping(pieces, { bytes, share }), () => asked.cut());
  return ofLength(new Response(body, { headers }), bytes);
}

type Gathering = {
  readonly prefix: Key;
  readonly start: Uint8Array;
  readonly kind: ListKind;
  readonly limit: number | undefined;
  readonly signal: AbortSignal;
  readonly share: Share;
  /** A page takes its turn only when it turns out to be long to find. */
  readonly turns: { readonly all: Turns; readonly isDue: boolean };
};

async function gather(store: Store, gathering: Gathering): Promise<Uint8Array[]> {
  const { prefix, start, kind, limit, signal, share, turns } = gathering;
  using turn = new DisposableStack();
  let freeRecords: number = limits.pageRecords;
  if (turns.isDue) turn.use(await turns.all.enter());
  const mostKeys = limit ?? limits.listKeys;
  const pieces: Uint8Array[] = [];
  let [next, count, bytes] = ["", 0, 0];
  for await (const page of list(store, { prefix, start }, mostKeys + 1)) {
    if (!turns.isDue && freeRecords >= 0 && (freeRecords -= page.length) < 0) turn.use(await turns.all.enter());
    if (signal.aborted) throw new MkvError("client-gone", "the client went away");
    const wanted = kind === "records" ? page : page.filter((entry) => isOf(kind, entry));
    const taken = bytes > limits.listTextBytes ? [] : wanted.slice(0, mostKeys - count);
    if (taken.length > 0) {
      const piece = Buffer.from((count > 0 ? "," : "") + textOf(kind, taken));
      pieces.push(piece);
      count += taken.length;
      share.hold((bytes += piece.length));
    }
    const first = wanted[taken.length];
    if (first === undefined) continue;
    if (limit === undefined) throw new MkvError("too-many", tooMany);
    next = first[0];
    break;
  }
  return [Buffer.from(`{"next":${JSON.stringify(next)},"keys":[`), ...pieces, Buffer.from("]}")];
}

function isOf(kind: "list" | "unlinked", [key, record]: ShownEntry): boolean {
  return isUnlinked(record) === (kind === "unlinked") && !isReservedName(key);
}

/** The members of a list, without the brackets around them. */
function textOf(kind: ListKind, entries: readonly ShownEntry[]): string {
  if (kind !== "records") return JSON.stringify(entries.map(([key]) => key)).slice(1, -1);
  return entries.map(([key, record]) => `[${JSON.stringify(key)},${ascii(JSON.stringify(record))}]`).join();
}

const tooMany = `more than ${limits.listKeys} keys, or too much text: use limit=N and go on from "next"`;

/** Damaged records may hold anything. */
function ascii(json: string): string {
  return json.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function readLimit(value: Uint8Array | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = Buffer.from(value).toString();
  if (!/^\d{0,15}$/.test(text)) throw new MkvError("bad-request", "limit must be a whole number; 0 stands for none");
  return Number(text) || undefined;
}
