// Owns the answers that list keys. `?list` and `?unlinked`: {"next": "", "keys": ["/a", "/b"]}; `?records`, for jobs that
// work through this master: {"next": "", "keys": [["/a", "HASH...localhost:3001/sv05"], ...]} of all states.
import { MkvError } from "../errors";
import { type Key, readShown, showKey } from "../format/key";
import { encodeRecord } from "../format/record";
import { type IndexEntry } from "../index/index";
import { limits } from "../limits";
import { type Store, list } from "../store/store";
import { type Parameter } from "./url";

/** What to show of the index. */
export type ListKind = "list" | "unlinked" | "records";

/**
 * Lists the keys that begin with `prefix`.
 * @throws MkvError bad-request for a bad limit, too-many over 1,000,000 keys without one
 */
export async function answerList(
  store: Store,
  prefix: Key,
  { kind, parameters, signal }: { kind: ListKind; parameters: readonly Parameter[]; signal: AbortSignal },
): Promise<Response> {
  const start = readShown(parameters.find(({ name }) => name === "start")?.value ?? prefix);
  const limit = readLimit(parameters.find(({ name }) => name === "limit")?.value);
  using turn = new DisposableStack();
  turn.use(await store.lists.enter());

  const pieces: string[] = [];
  let next = "";
  let count = 0;
  let textBytes = 0;
  scan: for await (const page of list(store, { prefix, start })) {
    if (signal.aborted) throw new MkvError("client-gone", "the client went away");
    let piece = "";
    for (const entry of page) {
      const text = show(entry, kind);
      if (text === undefined) continue;
      if (count === limit || (limit !== undefined && textBytes > limits.listTextBytes)) {
        next = showKey(entry.key);
        pieces.push(piece);
        break scan;
      }
      if (limit === undefined && (count === limits.listKeys || textBytes > limits.listTextBytes)) throw tooMany();
      piece += count++ === 0 ? text : `,${text}`;
      textBytes += text.length;
    }
    pieces.push(piece);
  }
  const text = [`{"next":${JSON.stringify(next)},"keys":[`, ...pieces, "]}"];
  const body = pieces.length <= 1 ? text.join("") : streamOf(text, turn.move());
  return new Response(body, { headers: { "content-type": "application/json" } });
}

/** The entry as JSON; undefined if it is not of this kind. */
function show({ key, record }: IndexEntry, kind: ListKind): string | undefined {
  if (kind === "records") return JSON.stringify([showKey(key), encodeRecord(record)]);
  return (record.state === "live") === (kind === "list") ? JSON.stringify(showKey(key)) : undefined;
}

function readLimit(value: Uint8Array | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = Buffer.from(value).toString();
  if (!/^\d{1,15}$/.test(text)) throw new MkvError("bad-request", "limit must be a whole number; 0 stands for none");
  return Number(text) || undefined;
}

function tooMany(): MkvError {
  return new MkvError(
    "too-many",
    `more than ${limits.listKeys} keys, or too much text: use limit=N and go on from "next"`,
  );
}

/** The pieces as a stream, each dropped once it is sent; the turn ends with the last, or with the client. */
function streamOf(pieces: string[], turn: Disposable): ReadableStream {
  let at = 0;
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      if (at < pieces.length) {
        controller.enqueue(encoder.encode(pieces[at]));
        pieces[at++] = "";
      } else {
        turn[Symbol.dispose]();
        controller.close();
      }
    },
    cancel: () => turn[Symbol.dispose](),
  });
}
