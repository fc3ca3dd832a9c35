// What is asked of a database, without one: how it is named, how many questions there are, and what is made of odd answers.
import { expect, spyOn, test } from "bun:test";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { type Database } from "../../src/ledger/postgres/connection";
import { type Ask, lookForFailover } from "../../src/ledger/postgres/first-look";
import { readsOf } from "../../src/ledger/postgres/reads";
import { limits } from "../../src/limits";
import { textOf } from "../support/events";
import { keyOf } from "./ledgers";

test.each(["postgres://a%zz@host/mkv", "postgres://mkv:secret%@host/mkv", "postgres://mkv@host/%2"])(
  "%s is no URL of a database, and how to write one is said without repeating it",
  (url) => {
    expect(() => parseDatabaseUrl(url)).toThrow(/^(?!.*secret).*in a name or password write % @ \/ : as %25/);
  },
);

test("records that are asked for in one turn are read by statements of bounded length, each key once", async () => {
  const asked: string[][] = [];
  const run = async (_: string, [keys]: [string]) => {
    asked.push(keys.slice(1, -1).split(","));
    return [];
  };
  const reads = readsOf({ run } as unknown as Database);
  const all = Array.from({ length: limits.batchRecords + 1 }, (_, i) => keyOf(`/${i}`));
  await Promise.all([...all, ...all.slice(-1)].map((key) => reads.get(key)));
  await new Promise(setImmediate); // One was to be sent then, if it had not been full before.
  expect(asked.map((keys) => keys.length)).toEqual([limits.batchRecords, 1]);
});

test("of those who see that the database went on elsewhere one tells of it; what it cannot say is not asked for", async () => {
  const at = (timeline: number, rest = {}) => JSON.stringify({ cluster: "7", timeline, isSynchronous: false, ...rest });
  const rowWith = (noted: string) => [["7", "00000002000000000000000A", false, noted]];
  const second = [[], rowWith(at(2, { isOlder: true }))];
  const seen = (isFirst: boolean, failure?: Error): Ask => {
    const answers = [rowWith(at(1)), ...(isFirst ? [[[1]]] : second)];
    return async () => (failure ? Promise.reject(failure) : answers.shift()!);
  };
  const said: string[] = [];
  const stderr = spyOn(process.stderr, "write").mockImplementation(((line: string) => said.push(line) > 0) as never);
  await lookForFailover(seen(true));
  await lookForFailover(seen(false));
  stderr.mockRestore();
  expect(said.map((line) => textOf(line.trimEnd()))).toEqual([
    expect.stringMatching(/^the database may lack what was/),
  ]);
  const refused = (errno: string) => Object.assign(new Error("refused"), { errno });
  await lookForFailover(seen(true, refused("42501")));
  await expect(lookForFailover(seen(true, refused("57P01")))).rejects.toThrow("refused");
});
