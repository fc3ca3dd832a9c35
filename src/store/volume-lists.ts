// Owns lists of volumes as sets: each at most once, in order.

/** The volumes of both lists, each once, in order. */
export function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}

/** The volumes of `a` that are not in `b`. */
export function without(a: readonly string[], b: readonly string[]): string[] {
  return a.filter((volume) => !b.includes(volume));
}
