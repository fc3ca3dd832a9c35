// Owns bounds that a test lowers, for what would take long to reach them.

/** From now on the bounds are these, until what it returns is disposed of. No other test may run meanwhile. */
export function limited<B extends object>(bounds: B, lower: { readonly [N in keyof B]?: number }): Disposable {
  const before = { ...bounds };
  Object.assign(bounds, lower);
  return { [Symbol.dispose]: () => void Object.assign(bounds, before) };
}
