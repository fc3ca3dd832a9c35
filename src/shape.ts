// Owns the look at what was written down earlier and is read back, from a disk, a database or a volume: whether it still has the
// shape that it was given. It may be damaged, of another version, or changed by hand.

/** The last time that a Date can tell. */
const latestMs = 8.64e15;

/**
 * What a value is like, by an example: a number that may be a time, as all may that are written down; a text, a boolean; a
 * list of what its first one is like; an object with such fields, where "name?" may be missing, and "*" stands for all.
 * Undefined is like anything.
 */
type Shape = number | string | boolean | undefined | readonly Shape[] | { readonly [name: string]: Shape };

/** The JSON of a text; the text itself where that is none: it has the shape of nothing but a text. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The value, if it has this shape, which is that of T; undefined if not. */
export function shaped<T>(value: unknown, shape: Shape): T | undefined {
  return isLike(value, shape) ? (value as T) : undefined;
}

function isLike(value: unknown, shape: Shape): boolean {
  if (shape === undefined) return true;
  if (typeof shape === "number") return typeof value === "number" && Math.abs(value) <= latestMs;
  if (typeof shape !== "object") return typeof value === typeof shape;
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((each) => isLike(each, shape[0]));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries(shape).every(([name, each]) => {
    if (name === "*") return Object.values(fields).every((field) => isLike(field, each));
    const field = fields[name.replace("?", "")];
    return (field === undefined && name.endsWith("?")) || isLike(field, each);
  });
}
