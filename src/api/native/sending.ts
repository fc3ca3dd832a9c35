// Owns the memory of long answers: as they are gathered, and as they are sent. All of a thread together have a bound, and
// whoever reads one too slowly is cut off.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { gauge } from "../../metrics";
import { sent } from "../requests";

const open = gauge("mkv_lists_open", "Lists that are gathered or sent.");

/** What one answer holds of the memory; disposing of it gives that back. */
export type Share = Disposable & {
  /** Takes so much more. Throws MkvError unavailable if that is not to be had. */
  grow(bytes: number): void;
  /** Gives so much back. */
  shrink(bytes: number): void;
};

/** Memory for answers. */
export class Sending {
  #bytes = 0;

  constructor(readonly mostBytes: number) {}

  /** A share, with nothing in it. */
  share(): Share {
    let held = 0;
    let isOpen = true;
    open.add(1);
    const change = (bytes: number) => {
      held += bytes;
      this.#bytes += bytes;
    };
    return {
      grow: (bytes) => {
        if (this.#bytes + bytes > this.mostBytes)
          throw new MkvError(
            "unavailable",
            "too many long answers are still being read: try again, or with limit=1000",
          );
        change(bytes);
      },
      shrink: (bytes) => change(-bytes),
      [Symbol.dispose]() {
        change(-held);
        if (isOpen) open.add(-1);
        isOpen = false;
      },
    };
  }
}

/**
 * Pieces as the body of an answer, each dropped once it is sent.
 * @param share what they take of the memory; its end is with the last of them, or with the client
 * @param cut ends the connection of a client that takes longer for a piece than `slowReaderMs` and `slowReaderBytes` allow
 */
export function streamOf(pieces: Uint8Array[], share: Share, cut: () => void): ReadableStream<Uint8Array> {
  let timer: Timer | undefined;
  let sending = 0;
  const wait = (bytes: number) => {
    clearTimeout(timer);
    timer = setTimeout(cut, limits.slowReaderMs + (bytes / limits.slowReaderBytes) * 1000);
  };
  const end = () => {
    clearTimeout(timer);
    pieces.length = 0;
    share[Symbol.dispose]();
  };
  return new ReadableStream<Uint8Array>(
    {
      start: () => wait(0),
      pull(controller) {
        share.shrink(sending);
        const piece = pieces.shift();
        if (piece) {
          sending = piece.length;
          sent.add(sending);
          wait(sending);
          return controller.enqueue(piece);
        }
        end();
        controller.close();
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
