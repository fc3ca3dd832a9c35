// Owns large values: made in no time, since a test process that computes keeps its gates and stand-ins from answering.
import { valueOf } from "./values";

/** A value of this many bytes, different for every seed. */
export function bigValue(seed: string, bytes: number): Buffer {
  return Buffer.alloc(bytes, valueOf(seed, 4096));
}
