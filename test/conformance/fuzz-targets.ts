// Owns the targets of odd requests.
import { type Random } from "../chaos/random";

/** A request target that names the key `/NAME`, or one like it, or none. */
export function targetOf(random: Random, name: string): { target: string; isOdd: boolean } {
  const kind = random.weighted({ plain: 55, odd: 30, query: 15 });
  if (kind === "plain") return { target: `/${name}`, isOdd: false };
  if (kind === "query") return { target: `/${name}?${random.pick(queries)}`, isOdd: true };
  return { target: random.pick(oddTargets)(name), isOdd: true };
}

const queries = [
  "list",
  "replace",
  "list&limit=1",
  "list&limit=-1",
  "list&limit=99999999999999999999",
  "list&start=%ff%00",
  "unlinked&start=/x",
  "limit=1&list",
  "rebalance",
  "examine&md5&repair&forget",
  "orphan=localhost:1",
  "orphan=%00%ff",
  "staged=localhost:1",
  "adopt=nobody",
  "records",
  "uploads",
  "%zz",
  "=",
  "&",
  "?",
  "list-type=2",
  `${"a=b&".repeat(2000)}list`,
];

const oddTargets: ((name: string) => string)[] = [
  (name) => `/${name}/%00%ff%0d%0a`,
  (name) => `/${name}%2e%2e/%2F..`,
  (name) => `/../../${name}`,
  (name) => `/a/../${name}`,
  (name) => `/./${name}/./b`,
  (name) => `/${name}/%2e%2e/${name}x`,
  (name) => `//${name}//`,
  (name) => `/${name}\\b`,
  (name) => `/${name}\xff\xfe`,
  (name) => `/${name}\x01\x7f`,
  (name) => `/${name}\0`,
  (name) => `/${name} b`,
  (name) => `/${name}%`,
  (name) => `/${name}%zz`,
  (name) => `/${name}#fragment`,
  (name) => `${name}`,
  (name) => `http://elsewhere:80/${name}`,
  (name) => `ftp://elsewhere/${name}`,
  (name) => `http://user:password@elsewhere/${name}?list`,
  (name) => `http:///${name}`,
  () => "*",
  () => "",
  () => "?",
  (name) => `/${name}${"x".repeat(1_100)}`,
  (name) => `/${name}${"%41".repeat(900)}`,
  (name) => `/${name}${"x".repeat(20_000)}`,
  (name) => `/${"../".repeat(500)}${name}`,
  (name) => `/${name}\u00e9`,
  (name) => `/${name}%ef%bf%bd`,
  (name) => `/${name}~/~`,
];
