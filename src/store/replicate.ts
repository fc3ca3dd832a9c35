// Owns the way of a body: one stream of chunks to all its replicas at once. The slowest volume sets the pace.
// 1. The last chunk is held back until the whole body is approved of: with it a volume has all it needs to store the value. So
//    an empty one counts for none.
// 2. What comes in while the volumes take what came before goes on as one piece: each piece costs a way to another thread
//    and back for each of them. Volumes that fail meanwhile are noticed with the next chunk.
import { MkvError } from "../errors";
import { limits } from "../limits";
import { type Upload } from "../volumes/upload";

/** What became of a body. */
export type Replicated = {
  readonly bytes: number;
  readonly md5: string | undefined;
  readonly stored: Upload[];
};

/**
 * Sends a body to all uploads. An upload that fails falls out; the others go on while `atLeast` are left, unless it is for a conflict.
 * @param approve is asked before any volume has the whole body; what it throws leaves nothing stored
 * @throws MkvError the failure that left too few, whatever `chunks` or `approve` throw; the uploads are aborted then
 */
export async function replicate(
  chunks: AsyncIterable<Uint8Array>,
  uploads: readonly Upload[],
  options: { atLeast: number; md5: boolean; approve: (body: { bytes: number; md5: string | undefined }) => void },
): Promise<Replicated> {
  const alive = new Set(uploads);
  const failures: MkvError[] = [];
  const hasher = options.md5 ? new Bun.CryptoHasher("md5") : undefined;
  let bytes = 0;
  let last: Uint8Array | undefined;
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let isSending = false;
  let sending: Promise<void> = Promise.resolve();

  async function all(step: (upload: Upload) => Promise<void>): Promise<void> {
    await Promise.all(
      [...alive].map((upload) =>
        step(upload).catch((error: MkvError) => {
          alive.delete(upload);
          failures.push(error);
        }),
      ),
    );
    const conflict = failures.find(({ code }) => code === "conflict"); // This volume will never take the value.
    if (conflict) throw conflict;
    if (alive.size < options.atLeast) throw failures.at(-1)!;
  }

  /** Begins to send what has been gathered, as soon as all have taken what went before. */
  async function sendOn(): Promise<void> {
    await sending;
    const piece = gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered, gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
    isSending = true;
    sending = all((upload) => upload.write(piece)).finally(() => (isSending = false));
    sending.catch(() => {}); // The next one awaits it, or the end: this only silences the warning.
  }

  running++;
  try {
    for await (const chunk of chunks) {
      if (chunk.length === 0) continue;
      hasher?.update(chunk);
      bytes += chunk.length;
      if (last) {
        gathered.push(last);
        gatheredBytes += last.length;
      }
      last = chunk;
      const isEnough = gatheredBytes > limits.gatheredBytes / running || gathered.length >= limits.gatheredChunks;
      if (isSending ? isEnough : gatheredBytes > 0) await sendOn();
    }
    if (gatheredBytes > 0) await sendOn();
    await sending;
    const md5 = hasher?.digest("hex");
    options.approve({ bytes, md5 });
    await all((upload) => upload.finish(last ?? new Uint8Array()));
    return { bytes, md5, stored: [...alive] };
  } catch (error) {
    const reason = error instanceof MkvError ? error : new MkvError("failed", "the body broke off", { cause: error });
    for (const upload of alive) upload.abort(reason);
    throw reason;
  } finally {
    running--;
  }
}

/** Bodies that this thread has on their way. */
let running = 0;
