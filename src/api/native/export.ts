// Owns the sending of a backup (`GET /?export`), as long as the ledger is: nothing of it is gathered, and a client that reads
// too slowly is cut off, since the ledger holds its moment meanwhile.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { backup } from "../../store/backup";
import { type Store } from "../../store/store";
import { sent } from "../requests";

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
    let first: IteratorResult<Uint8Array, void> | undefined = await pieces.next(); // Before the head: it may be refused.
    let timer: Timer | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          clearTimeout(timer);
          const { done, value } = first ?? (await pieces.next());
          first = undefined;
          if (done === true) return controller.close();
          timer = setTimeout(cut, limits.slowReaderMs + (value.length / limits.slowReaderBytes) * 1000);
          sent.add(value.length);
          controller.enqueue(value);
        },
        async cancel() {
          clearTimeout(timer);
          await pieces.return();
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
  }

  async *#pieces({ ledger, topology }: Store): AsyncGenerator<Uint8Array, void> {
    if (this.#underWay >= limits.exportsAtOnce)
      throw new MkvError("unavailable", `${limits.exportsAtOnce} exports are under way: let them end first`);
    this.#underWay++;
    try {
      yield* backup(ledger, { topology });
    } finally {
      this.#underWay--;
    }
  }
}
