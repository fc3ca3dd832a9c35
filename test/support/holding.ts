// Owns the making of what is made of several parts that have to end: they all end if it comes to nothing.

/** What is made, by whoever puts its parts in a stack, which is to end with it. */
export async function holding<T>(make: (held: AsyncDisposableStack) => Promise<T>): Promise<T> {
  const held = new AsyncDisposableStack();
  try {
    return await make(held);
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
}
