// Owns the reading of what the program logs: lines of a time, a level and a text.

const line = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (info|warn|error) ([^\n]+)$/;

/** The text of a line of the log. Throws if it is none. */
export function textOf(text: string): string {
  const found = line.exec(text)?.[3];
  if (found === undefined) throw new Error(`no line of the log: ${text}`);
  return found;
}

/** The texts of all lines of a log. */
export function eventsIn(log: string): string[] {
  return log.trimEnd().split("\n").map(textOf);
}
