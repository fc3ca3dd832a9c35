// Owns for how long old copies stay after a move in the tests of a file: as long as users' do, unless the file says otherwise.
import { afterAll, beforeAll } from "bun:test";

let flags: readonly string[] = [];

/** What is added to these flags of a master or a job. */
export function graceFlags(given: readonly string[]): readonly string[] {
  return given.includes("-grace") ? [] : flags;
}

/** In the tests of this file old copies go at once: they look at what is there in the end, not at how it survives a power cut. */
export function withoutGrace(): void {
  beforeAll(() => {
    flags = ["-grace", "0"];
  });
  afterAll(() => {
    flags = [];
  });
}
