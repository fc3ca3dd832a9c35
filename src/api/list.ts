// Owns the answer to `?list` and `?unlinked`: {"next": "", "keys": ["/a", "/b"]}
import { MkvError } from "../errors";
import { type Key, readShown, showKey } from "../format/key";
import { type ValueRecord } from "../format/record";
import { limits } from "../limits";
import { type Store, list } from "../store/store";
import { type Parameter } from "./native";

/**
 * Lists the keys in one state that begin with `prefix`.
 * @throws MkvError bad-request for a bad limit, too-many over 1,000,000 keys without one
 */
export async function answerList(
  store: Store,
  prefix: Key,
  { state, parameters, signal }: { state: ValueRecord["state"]; parameters: readonly Parameter[]; signal: AbortSignal },
): Promise<Response> {
  const start = readShown(parameters.find(({ name }) => name === "start")?.value ?? prefix);
  const limit = readLimit(parameters.find(({ name }) => name === "limit")?.value);
  using _turn = await store.lists.enter();

  const pieces: string[] = [];
  let next = "";
  let count = 0;
  let textBytes = 0;
  scan: for await (const page of list(store, { prefix, start, state })) {
    signal.throwIfAborted();
    let piece = "";
    for (const key of page) {
      if (count === limit || (limit !== undefined && textBytes > limits.listTextBytes)) {
        next = showKey(key);
        pieces.push(piece);
        break scan;
      }
      if (limit === undefined && (count === limits.listKeys || textBytes > limits.listTextBytes)) throw tooMany();
      const text = JSON.stringify(showKey(key));
      piece += count++ === 0 ? text : `,${text}`;
      textBytes += text.length;
    }
    pieces.push(piece);
  }
  return new Response(bodyOf([`{"next":${JSON.stringify(next)},"keys":[`, ...pieces, "]}"]), {
    headers: { "content-type": "application/json" },
  });
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

function bodyOf(pieces: string[]): string | ReadableStream {
  if (pieces.length <= 3) return pieces.join("");
  let at = 0;
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      if (at === pieces.length) return controller.close();
      controller.enqueue(encoder.encode(pieces[at]));
      pieces[at++] = "";
    },
  });
}
