// Owns the way of a body: one stream of chunks to all its replicas at once. The slowest volume sets the pace.
// The last chunk is held back until the whole body is approved of: with it a volume has all it needs to store the value.
import { MkvError } from "../errors";
import { type Upload } from "../volumes/upload";

/** What became of a body. `failures` are those of the uploads that fell out. */
export type Replicated = {
  readonly bytes: number;
  readonly md5: string | undefined;
  readonly stored: Upload[];
  readonly failures: MkvError[];
};

/**
 * Sends a body to all uploads. An upload that fails falls out; the others go on while `atLeast` are left.
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

  async function all(step: (upload: Upload) => Promise<void>): Promise<void> {
    await Promise.all(
      [...alive].map((upload) =>
        step(upload).catch((error: MkvError) => {
          alive.delete(upload);
          failures.push(error);
        }),
      ),
    );
    if (alive.size < options.atLeast) throw failures.at(-1)!;
  }

  try {
    for await (const chunk of chunks) {
      hasher?.update(chunk);
      bytes += chunk.length;
      const ready = last;
      last = chunk;
      if (ready) await all((upload) => upload.write(ready));
    }
    const md5 = hasher?.digest("hex");
    options.approve({ bytes, md5 });
    await all((upload) => upload.finish(last ?? new Uint8Array()));
    return { bytes, md5, stored: [...alive], failures };
  } catch (error) {
    const reason = error instanceof MkvError ? error : new MkvError("failed", "the body broke off", { cause: error });
    for (const upload of alive) upload.abort(reason);
    throw reason;
  }
}
