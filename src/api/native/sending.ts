// Owns the sending of long answers.
// 1. Lists are gathered first, and all of a thread have a bound for the memory that takes.
// 2. Of a backup (`GET /?export`), which is as long as the ledger, nothing is gathered. A client that reads too slowly is cut
//    off, since the ledger holds its moment meanwhile.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { gauge } from "../../metrics";
import { backup } from "../../store/backup";
import { type Store } from "../../store/store";
import { sent } from "../requests";
import { streamed } from "../stream";

const open = gauge("mkv_lists_open", "Lists that are gathered or sent.");

/** What one answer holds of the memory; disposing of it gives that back. */
export type Share = Disposable & {
  /** From now on it holds so much. Throws MkvError unavailable if that is not to be had. */
  hold(bytes: number): void;
};

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

export class Exports {
  #underWay = 0;

  /**
   * Answers with all that the ledger knows, as `ledger/backup.ts` says. If the ledger fails it breaks off, without a trailer.
   * @param cut ends the connection of the client
   * @throws MkvError unavailable if too many are under way
   */
  answer(store: Store, cut: () => void): Response {
    if (this.#underWay >= limits.exportsAtOnce)
      throw new MkvError("unavailable", `${limits.exportsAtOnce} exports are under way: let them end first`);
    this.#underWay++;
    return new Response(streamed(this.#pieces(store), cut), { headers: { "content-type": "application/x-ndjson" } });
  }

  /** These are begun in any case: by who sends them, or lets go of them. */
  async *#pieces({ ledger, topology }: Store): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of backup(ledger, { topology })) {
        sent.add(piece.length);
        yield piece;
      }
    } finally {
      this.#underWay--;
    }
  }
}
