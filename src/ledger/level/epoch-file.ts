// Owns the file EPOCH in the folder of an index: how far the store had come. LevelDB, that of Go as well, leaves alone what it does
// not know. So it goes wherever the index is copied.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MkvError, reasonOf } from "../../errors";
import { type Epoch, encodeEpoch, readEpoch } from "../../format/epoch";
import { writeDurably } from "./durable";

/** What the index says; undefined if it is none of mkv's yet, or a damaged one. */
export function epochOf(index: string): Epoch | undefined {
  try {
    return readEpoch(readFileSync(join(index, "EPOCH"), "latin1"));
  } catch {
    return undefined;
  }
}

/** Puts it on the disk, and returns it. Throws MkvError failed. */
export function setEpoch(index: string, epoch: Epoch): Epoch {
  const path = join(index, "EPOCH");
  try {
    writeDurably(path, encodeEpoch(epoch));
    return epoch;
  } catch (error) {
    throw new MkvError("failed", `${path} cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
