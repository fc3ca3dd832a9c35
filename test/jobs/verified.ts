// Owns the reading of verify's last line.

const NAMES = [
  "keys",
  "files",
  "missing",
  "damaged",
  "unknown",
  "misplaced",
  "unfinished",
  "orphans",
  "repaired",
] as const;
export type Finding = (typeof NAMES)[number];

/** The counts of verify's last line by their names; of some counts, those with all others 0. */
export function countsOf(last: string | Partial<Record<Finding, number>>): Record<Finding, number> {
  const counts = typeof last === "string" ? parsed(last) : last;
  return Object.fromEntries(NAMES.map((name) => [name, counts[name] ?? 0])) as Record<Finding, number>;
}

function parsed(last: string): Partial<Record<Finding, number>> {
  const line = new RegExp(
    `^verified (\\d+) keys? and (\\d+) files?: ${NAMES.slice(2, -1)
      .map((name) => `(\\d+) ${name}`)
      .join(", ")}; (\\d+) repaired$`,
  );
  const match = last.match(line);
  if (!match) throw new Error(`not the last line of verify: ${last}`);
  return Object.fromEntries(NAMES.map((name, i) => [name, Number(match[i + 1])]));
}
