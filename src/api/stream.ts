// Owns the bodies of answers that go out as they come in.
import { limits } from "../limits";

/**
 * Chunks as a body: one is asked for when the client has taken the one before, and none when it has gone.
 * @param cut ends the connection of a client that takes longer for a chunk than `slowReaderMs` and `slowReaderBytes` allow
 */
export function streamed(chunks: AsyncIterable<Uint8Array>, cut?: () => void): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  let hasBegun = false;
  let timer: Timer | undefined;
  const waitFor = (bytes: number) => {
    if (cut) timer = setTimeout(cut, limits.slowReaderMs + (bytes / limits.slowReaderBytes) * 1000);
  };
  return new ReadableStream<Uint8Array>(
    {
      start: () => waitFor(0),
      async pull(controller) {
        clearTimeout(timer);
        hasBegun = true;
        try {
          const { done, value } = await iterator.next();
          if (done) return controller.close();
          waitFor(value.length);
          controller.enqueue(value);
        } catch (error) {
          clearTimeout(timer); // The client may have gone while the chunk was made.
          controller.error(error); // The connection breaks off before the announced length.
        }
      },
      async cancel() {
        clearTimeout(timer);
        if (hasBegun) await iterator.return?.();
        else await letGo(iterator);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Ends what may not have begun, or has ended: chunks that nobody asked for would not let go of their volume. */
export async function letGo(chunks: AsyncIterator<Uint8Array>): Promise<void> {
  await chunks.next().catch(() => {}); // Why it cannot be read does not matter any more.
  await chunks.return?.();
}
