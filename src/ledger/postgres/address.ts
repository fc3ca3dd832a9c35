// Owns the URL of a database: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE?sslmode=require`. A password in it is never shown.
import { MkvError } from "../../errors";

/** Where the ledger is: one database, at one of some hosts. */
export type DatabaseAddress = {
  /** Each host, to be tried in turn: its URL, and what may be shown of that. */
  readonly hosts: readonly { readonly url: string; readonly shown: string }[];
  /** What is shown in the place of the URL. */
  readonly shown: string;
  /** Whether its password stands in a command line, which other users of the machine may see. */
  readonly showsPassword: boolean;
};

/** Takes such a URL apart. Throws MkvError usage; `flag` is how the user named it. */
export function parseDatabaseUrl(text: string, flag = "-db"): DatabaseAddress {
  const match = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)\/([^/?#]+)(\?[^#]*)?$/i.exec(text);
  const [, login = "", authority = "", database, query = ""] = match ?? [];
  const names = authority.split(",");
  const socket = new URLSearchParams(query).get("host") ?? new URLSearchParams(query).get("path");
  const isWhole = names.every((name) => /^([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$/.test(name));
  if (!match || !(isWhole || (authority === "" && socket))) throw malformed(flag);
  const before = login === "" ? "" : `${login}@`;
  const hosts = names.map((name) => ({
    url: `postgres://${before}${name || "localhost"}/${database}${query}`,
    shown: name || socket!,
  }));
  try {
    for (const { url } of hosts) {
      const { username, password, pathname } = new URL(url);
      decodeURIComponent(username + password + pathname);
    }
  } catch {
    throw malformed(flag); // Not why: that may repeat the password.
  }
  return {
    hosts,
    shown: `postgres://${hosts.map(({ shown }) => shown).join(",")}/${database}`,
    showsPassword: login.includes(":") && flag.startsWith("-"),
  };
}

/** The name of the database in the URL of a host. */
export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

function malformed(flag: string): MkvError {
  const text = `${flag} is a folder, or a URL such as postgres://mkv@db.example/mkv (hosts: a.example,b.example:5433)`;
  return new MkvError("usage", `${text}; in a name or password write % @ / : as %25 %40 %2F %3A`);
}
