// Owns the memory of long answers: as they are gathered, and as they are sent. All of a thread together have a bound.
import { MkvError } from "../../errors";
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

/** Pieces on their way out, each dropped once it is sent. With the last of them, or with the client, the share ends. */
export async function* dropping(pieces: Uint8Array[], share: Share): AsyncGenerator<Uint8Array> {
  using _held = share;
  for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
    sent.add(piece.length);
    yield piece;
    share.shrink(piece.length);
  }
}
