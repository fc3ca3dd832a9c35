// Owns the answers that list keys. `?list` and `?unlinked`: {"next": "", "keys": ["/a", "/b"]}; `?records`, for jobs that
// work through this master: {"next": "", "keys": [["/a", "HASH...localhost:3001/sv05"], ...]} of all states.
import { MkvError } from "../../errors";
import { type Key, readShown, showKey } from "../../format/key";
import { isUnlinked } from "../../format/record";
import { limits } from "../../limits";
import { type Store, list } from "../../store/store";
import { type Turns } from "../../turns";
import { LongText } from "./text";
import { type Parameter } from "../url";

/** What to show of the index. */
export type ListKind = "list" | "unlinked" | "records";

/**
 * Lists the keys that begin with `prefix`.
 * @throws MkvError bad-request for a bad limit, too-many over 1,000,000 keys without one
 */
export async function answerList(
  { store, lists }: { store: Store; lists: Turns },
  prefix: Key,
  { kind, parameters, signal }: { kind: ListKind; parameters: readonly Parameter[]; signal: AbortSignal },
): Promise<Response> {
  const start = readShown(parameters.find(({ name }) => name === "start")?.value ?? prefix);
  const limit = readLimit(parameters.find(({ name }) => name === "limit")?.value);
  using turn = new DisposableStack();
  turn.use(await lists.enter());

  const text = new LongText();
  const mostKeys = limit ?? limits.listKeys;
  let next = "";
  let count = 0;
  scan: for await (const page of list(store, { prefix, start }, mostKeys + 1)) {
    if (signal.aborted) throw new MkvError("client-gone", "the client went away");
    for (const [key, record] of page) {
      if (kind !== "records" && isUnlinked(record) !== (kind === "unlinked")) continue;
      if (count === mostKeys || text.bytes > limits.listTextBytes) {
        if (limit === undefined) throw tooMany();
        next = showKey(key);
        break scan;
      }
      if (count++ > 0) text.add(",");
      if (kind === "records") text.add("[");
      text.addKey(key);
      if (kind === "records") text.add(`,${ascii(JSON.stringify(record))}]`);
    }
  }
  text.add("]}");
  const pieces = [Buffer.from(`{"next":${JSON.stringify(next)},"keys":[`), ...text.finish()];
  const body = pieces.length <= 2 ? Buffer.concat(pieces) : streamOf(pieces, turn.move());
  return new Response(body, { headers: { "content-type": "application/json" } });
}

/** Damaged records may hold anything. */
function ascii(json: string): string {
  return json.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
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
function streamOf(pieces: Uint8Array[], turn: Disposable): ReadableStream {
  return new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) return controller.enqueue(piece);
      turn[Symbol.dispose]();
      controller.close();
    },
    cancel: () => turn[Symbol.dispose](),
  });
}
