// Owns the sending of a backup (`GET /?export`), as long as the ledger is: nothing of it is gathered, and a client that reads
// too slowly is cut off, since the ledger holds its moment meanwhile.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { backup } from "../../store/backup";
import { type Store } from "../../store/store";
import { sent } from "../requests";
import { streamed } from "../stream";

/** The backups that a thread sends. */
export class Exports {
  #underWay = 0;

  /**
   * Answers with all that the ledger knows, as `ledger/backup.ts` says. If the ledger fails it breaks off, without a trailer.
   * @param cut ends the connection of the client
   * @throws MkvError unavailable if too many are under way, or the ledger cannot be asked
   */
  async answer(store: Store, cut: () => void): Promise<Response> {
    const pieces = this.#pieces(store);
    const { value: first } = await pieces.next(); // Before the head: it may be refused.
    async function* all(): AsyncGenerator<Uint8Array> {
      try {
        if (first) yield first;
        yield* pieces;
      } finally {
        await pieces.return();
      }
    }
    return new Response(streamed(all(), cut), { headers: { "content-type": "application/x-ndjson" } });
  }

  async *#pieces({ ledger, topology }: Store): AsyncGenerator<Uint8Array, void> {
    if (this.#underWay >= limits.exportsAtOnce)
      throw new MkvError("unavailable", `${limits.exportsAtOnce} exports are under way: let them end first`);
    this.#underWay++;
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
