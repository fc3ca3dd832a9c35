// Owns what the program says while it runs: one line an event, on stderr, never a credential.

/** Writes one line to stderr. */
export function log(line: string): void {
  process.stderr.write(`${line}\n`);
}
