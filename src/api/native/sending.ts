// Owns the memory of long answers: as they are gathered, and as they are sent. All of a thread together have a bound.
import { MkvError } from "../../errors";
import { gauge } from "../../metrics";
import { sent } from "../requests";

const open = gauge("mkv_lists_open", "Lists that are gathered or sent.");

/** What one answer holds of the memory; disposing of it gives that back. */
export type Share = Disposable & {
  /** From now on it holds so much. Throws MkvError unavailable if that is not to be had. */
  hold(bytes: number): void;
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
    const hold = (bytes: number) => {
      const more = bytes - held;
      if (more > 0 && this.#bytes + more > this.mostBytes)
        throw new MkvError("unavailable", "too many long answers are still being read: try again, or with limit=1000");
      held = bytes;
      this.#bytes += more;
    };
    return {
      hold,
      [Symbol.dispose]() {
        hold(0);
        if (isOpen) open.add(-1);
        isOpen = false;
      },
    };
  }
}

/** Pieces on their way out, each dropped once it is sent. With the last of them, or with the client, the share ends. */
export async function* dropping(
  pieces: Uint8Array[],
  { bytes, share }: { bytes: number; share: Share },
): AsyncGenerator<Uint8Array> {
  using _held = share;
  let left = bytes;
  for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
    sent.add(piece.length);
    yield piece;
    share.hold((left -= piece.length));
  }
}
