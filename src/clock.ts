// Owns the time that decisions are made by: monotonic milliseconds, the same for all threads of the process. Nobody can set
// it back or forward, as they can the wall's, which is for what people read and for the dates of files alone.
// It stands still while the machine is paused. The clocks of others show that, and it is counted: what held for a time may
// not hold any more.

let originMs = 0;
let pauses: Int32Array = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** A moment of this clock, and how many pauses had been seen by then. */
export type Moment = { readonly atMs: number; readonly pauses: number };

/** What another thread's clock begins with. */
export type ClockStart = { readonly startedMs: number; readonly pauses: Int32Array };

/** Milliseconds since the process began. */
export function nowMs(): number {
  return originMs + performance.now();
}

/** What a lease that is asked for now begins with. */
export function thisMoment(): Moment {
  return { pauses: pausesSeen(), atMs: nowMs() };
}

/** How many times the machine may have been paused, as far as it was seen by any thread. */
export function pausesSeen(): number {
  return Atomics.load(pauses, 0);
}

/** The clock of another machine has gone further than this one. */
export function sawPause(): void {
  Atomics.add(pauses, 0, 1);
}

/** For `startClock` in a thread that is started now. */
export function shareClock(): ClockStart {
  return { startedMs: nowMs(), pauses };
}

/** Sets this thread's clock, whose own time begins with the thread. */
export function startClock(start: ClockStart): void {
  originMs = start.startedMs;
  pauses = start.pauses;
}
