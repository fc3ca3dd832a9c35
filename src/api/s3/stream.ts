// Owns the bodies of answers that go out as they come in.

/** Chunks as a body: one is asked for when the client has taken the one before, and none when it has gone. */
export function streamed(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  let hasBegun = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        hasBegun = true;
        try {
          const { done, value } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          controller.error(error); // The connection breaks off before the announced length.
        }
      },
      async cancel() {
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
