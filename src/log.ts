// Owns what the program says while it runs: one line an event, on stderr, never a credential.
//   plain   2026-11-26T11:07:02.123Z warn localhost:3001 is down     whatever the text holds, it stays one line
//   json    {"time":"2026-11-26T11:07:02.123Z","level":"warn","message":"localhost:3001 is down"}
// What a command says to whoever has started it, its findings and why it failed, are no events: see `say`.
// That is written at once, however slow its reader is: what waits in Bun's own streams is lost when the process ends. An event
// waits there, so that no log that is not read stops a server; with too many of them, further ones are left out, and counted.
import { writeSync } from "node:fs";

const [stdout, stderr] = [1, 2];

export type Level = "info" | "warn" | "error";
/** `-log`. */
export type LogFormat = "plain" | "json";

let format: LogFormat = "plain";

/** From now on this thread logs like this. */
export function logAs(next: LogFormat): void {
  format = next;
}

export function logFormat(): LogFormat {
  return format;
}

export function log(text: string, level: Level = "info"): void {
  writeEvents(eventLine(text, level));
}

/** Text that waits for whoever reads the log; with more, further lines are left out. */
const mostWaitingBytes = 4 * 1024 * 1024;
let waitingBytes = 0;
let leftOut = 0;

/** Writes the lines of events, those of another thread as well. */
export function writeEvents(lines: string): void {
  if (waitingBytes > mostWaitingBytes) return void (leftOut += lines.split("\n").length - 1);
  waitingBytes += lines.length;
  process.stderr.write(lines, () => {
    waitingBytes -= lines.length;
    const count = leftOut;
    leftOut = 0;
    if (count > 0) warn(`${counted(count, "line")} left out here: nobody read the log in time`);
  });
}

/** Tells of what somebody should look after. */
export function warn(text: string): void {
  log(text, "warn");
}

/** Tells of a bug in mkv itself. */
export function logBug(error: unknown): void {
  log(`a bug: ${error instanceof Error ? error.stack : String(error)}`, "error");
}

/** A request that was answered: who asked what, and how that ended. */
export type Access = {
  readonly client: string;
  /** Empty if nobody in particular. */
  readonly user: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Of the body of a PUT, else of the answer. */
  readonly bytes: number;
  readonly seconds: number;
  /** Where the value is or was put: several with a comma between. Empty if nowhere. */
  readonly volume: string;
};

export function logAccess(access: Access): void {
  const { client, user, method, path, status, bytes, seconds, volume } = access;
  if (format === "json") {
    writeEvents(jsonLine(`${method} ${path} ${status}`, "info", access));
    return;
  }
  const asked = `${client || "-"} ${nameOf(user)} ${JSON.stringify(`${method} ${path}`)}`;
  writeEvents(plainLine(`${asked} ${status} ${bytes} ${seconds.toFixed(6)} ${volume || "-"}`, "info"));
}

/** A line of what a command has found out, on stdout. */
export function print(text: string): void {
  write(stdout, `${text}\n`);
}

/** A line of a command, for whoever has started it. */
export function say(line: string): void {
  write(stderr, `${printable(line)}\n`);
}

/** The end of a service waits so long for who reads its log. Who reads what a command says is waited for, however long. */
export const lastWordMs = 200;

/** The last line of a command that failed. */
export function sayFailure(text: string, waitMs: number): void {
  write(stderr, format === "json" ? jsonLine(text, "error") : `mkv: ${printable(text)}\n`, waitMs);
}

/** Says why the process ends at once. */
export function sayEnd(text: string): void {
  write(stderr, eventLine(text, "error"), lastWordMs);
}

function write(file: number, text: string, waitMs = Number.POSITIVE_INFINITY): void {
  const bytes = Buffer.from(text);
  const untilMs = performance.now() + waitMs;
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(file, bytes, at);
    } catch (error) {
      const isFull = (error as NodeJS.ErrnoException).code === "EAGAIN"; // A pipe that is non-blocking, as Bun makes its stderr.
      if (!isFull || performance.now() > untilMs) return; // Else nobody reads it, or the disk is full.
      Bun.sleepSync(1);
    }
  }
}

function eventLine(text: string, level: Level): string {
  return format === "json" ? jsonLine(text, level) : plainLine(text, level);
}

function plainLine(text: string, level: Level): string {
  return `${new Date().toISOString()} ${level} ${printable(text)}\n`;
}

function jsonLine(message: string, level: Level, more?: Access): string {
  return `${printable(JSON.stringify({ time: new Date().toISOString(), level, message, ...more }))}\n`;
}

/** A user in the columns of a plain line. */
function nameOf(user: string): string {
  if (user === "") return "-";
  return /^[\w.@][\w.@-]*$/.test(user) ? user : JSON.stringify(user);
}

/** `1 key`, `2 keys`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** Text without anything that could end a line, or play tricks with a terminal. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) =>
    c === "\n" ? "\\n" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
