// Owns what the values of flags may be: each kind has a word for the help, and one clear line for what is not of it.
import { resolve } from "node:path";
import { MkvError } from "../errors";
import { isServerName, isVolumeName } from "../format/volume";
import { ownNameOf } from "../ledger/level/memory";
import { type DatabaseAddress, parseDatabaseUrl } from "../ledger/postgres/address";

export type Kind<T> = {
  /** What the help calls it, as in -port N. A switch has none: it is given as -protect. */
  readonly word?: string | undefined;
  /** The value of a text. Throws MkvError usage; `flag` is how the user named it, as in -port. */
  parse(text: string, flag: string): T;
};

/** What `parse` makes of a text, or undefined if it is not what `is` says. */
function kind<T>(word: string | undefined, is: string, parse: (text: string) => T | undefined): Kind<T> {
  return {
    word,
    parse(text, flag) {
      const value = parse(text);
      if (value === undefined) throw new MkvError("usage", `${flag} is ${is}, not "${text}"`);
      return value;
    },
  };
}

/** On or off, as Go writes it. */
export const toggle = kind(undefined, "true or false", (text) => {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  return /^(0|f|F|FALSE|false|False)$/.test(text) ? false : undefined;
});

export const file: Kind<string> = { word: "FILE", parse: (text) => text };

/** Where a ledger is: a folder, or a database. */
export type LedgerPlace =
  { readonly kind: "folder"; readonly db: string } | { readonly kind: "database"; readonly address: DatabaseAddress };

/** No complaint repeats the password of a database. */
export const ledger: Kind<LedgerPlace> = {
  word: "PATH|URL",
  parse(text, flag) {
    if (/^[a-z]+:\//i.test(text)) return { kind: "database", address: parseDatabaseUrl(text, flag) };
    if (resolve(text) === "/") throw new MkvError("usage", `${flag} is a folder of its own, not "${text}"`);
    return { kind: "folder", db: ownNameOf(resolve(text)) };
  },
};

/** Without a slash at its end. */
export const url = kind(
  "URL",
  "a URL such as http://HOST:PORT",
  (text) => /^(https?:\/\/[^/?#@]+)\/?$/.exec(text)?.[1],
);
export const server = kind("HOST:PORT", "host:port", (text) => (isServerName(text) ? text : undefined));

/** In lower case. */
export const hostName = kind("NAME", "the name of a host, such as s3.example.com", (text) =>
  /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(text) ? text.toLowerCase() : undefined,
);

/** What looks like an address of this machine; whether it is one, the system says. */
export const address = kind("ADDRESS", "an address of this machine, such as 127.0.0.1", (text) =>
  /^(localhost|\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*)$/i.test(text) ? text : undefined,
);

export function oneOf<const W extends string>(words: readonly W[]): Kind<W> {
  return kind(words.join("|"), words.join(" or "), (text) => words.find((word) => word === text));
}

export function count({ from = 1, to, word = "N" }: { from?: number; to: number; word?: string }): Kind<number> {
  return kind(word, `a whole number from ${from} to ${to}`, (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    return number >= from && number <= to ? number : undefined;
  });
}

const dayMs = 86_400_000;
const unitMs = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: dayMs };

/** Milliseconds of a duration as Go writes it, and with days where so many are allowed; 0 for "0". */
function millisecondsOf(text: string, { mostDays = 1 } = {}): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(text) || (mostDays === 1 && text.includes("d"))) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g))
    ms += Number(amount) * unitMs[unit as keyof typeof unitMs];
  return ms > 0 && ms <= mostDays * dayMs ? Math.max(ms, 1) : undefined;
}

const aDuration = "a duration such as 1s, 500ms or 1m30s, at most";

/** In milliseconds. */
export const duration = kind("DURATION", `${aDuration} 24h`, (text) => millisecondsOf(text) || undefined);
export const durationOr0 = kind("DURATION", `${aDuration} 24h`, (text) => millisecondsOf(text));
export const durationTo = (mostSeconds: number) =>
  kind("DURATION", `${aDuration} ${mostSeconds}s`, (text) => {
    const ms = millisecondsOf(text);
    return ms && ms <= mostSeconds * 1000 ? ms : undefined;
  });
export const daysOr0 = kind("DURATION", "a duration such as 30d, 12h or 1h30m, at most 1000d", (text) =>
  millisecondsOf(text, { mostDays: 1000 }),
);

export const volumes: Kind<readonly string[]> = {
  word: "LIST",
  parse(text, flag) {
    const names = text.split(",");
    const bad = names.find((name) => !isVolumeName(name));
    if (bad !== undefined) throw new MkvError("usage", `${flag}: "${bad}" is not host:port or host:port/path`);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw new MkvError("usage", `${flag} names ${twice} twice`);
    return names;
  },
};

/** A name and a password, as the value of an `Authorization` header. No complaint repeats them. */
export const credentials: Kind<string> = {
  word: "USER:PASSWORD",
  parse(text, flag) {
    if (!/^[^:]+:/.test(text)) throw new MkvError("usage", `${flag} is user:password`);
    return `Basic ${Buffer.from(text).toString("base64")}`;
  },
};
