// Owns the time that decisions are made by: monotonic milliseconds, the same for all threads of the process. Nobody can set
// it back or forward, as they can the wall's, which is for what people read and for the dates of files alone.

let originMs = 0;

/** Milliseconds since the process began. */
export function nowMs(): number {
  return originMs + performance.now();
}

/** Sets this thread's clock, whose own time begins with the thread, by what `nowMs` was when it was started. */
export function startClock(startedMs: number): void {
  originMs = startedMs;
}
