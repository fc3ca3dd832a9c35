// Owns new ledgers of both kinds, and what tests put into them.
import { expect } from "bun:test";
import { join } from "node:path";
import { nowMs } from "../../src/clock";
import { type Key } from "../../src/format/key";
import { type ValueRecord } from "../../src/format/record";
import { type Debt, type Entry, type Known, type Ledger } from "../../src/ledger/ledger";
import { type Draft } from "../../src/ledger/next";
import { draftLevel } from "../../src/ledger/level/next";
import { joinLevelLedger, openLevelLedger } from "../../src/ledger/level/open";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { draftPostgres } from "../../src/ledger/postgres/next";
import { joinPostgresLedger, openPostgresLedger } from "../../src/ledger/postgres/open";
import { temporaryFolder } from "../support/folder";
import { type Postgres } from "../support/postgres";

/** A new ledger, as two threads see it. */
export type Opened = AsyncDisposable & { readonly one: Ledger; readonly other: Ledger };

export const isNew = async () => ({ isSure: true });

/** How a LevelDB is opened where there are no volumes. */
export const opening = {
  ...{ sync: false, graceMs: 0 },
  onMissing: isNew,
  seenEpochs: async () => [],
  onRebuild: (why: string) => expect.unreachable(why),
};

export async function openLevel(): Promise<Opened> {
  const folder = temporaryFolder();
  const path = join(folder.path, "index");
  const { ledger: one, shared } = await openLevelLedger(path, opening);
  const other = await joinLevelLedger(path, { sync: false, shared, thread: 1 });
  return {
    one,
    other,
    async [Symbol.asyncDispose]() {
      await other[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

let databases = 0;
export async function openPostgres(server: Postgres): Promise<Opened> {
  const name = `store_${++databases}`;
  await server.query(`create database ${name}`);
  const opened = await openPostgresLedger(parseDatabaseUrl(server.url.replace(/postgres$/, name)), opening);
  const other = joinPostgresLedger(opened.shared);
  return {
    one: opened.ledger,
    other,
    async [Symbol.asyncDispose]() {
      await other[Symbol.asyncDispose]();
      await opened.ledger[Symbol.asyncDispose]();
    },
  };
}

/** A new database with an empty store. */
export async function emptyStore(server: Postgres, name: string) {
  await server.query(`create database ${name}`);
  const address = parseDatabaseUrl(server.urlOf(name));
  await (await openPostgresLedger(address, opening)).ledger[Symbol.asyncDispose]();
  const query = (text: string) => server.queryIn(name, text);
  return { address, query, keys: () => query("select convert_from(key, 'utf8') as key from mkv_keys") };
}

/** A ledger that was made of these keys, with nothing lacking. */
export async function draftedLevel(path: string, keys: readonly Known[]): Promise<Ledger> {
  await fill(await draftLevel(path, { lack: undefined }), keys);
  return (await openLevelLedger(path, opening)).ledger;
}

export async function draftedPostgres(server: Postgres, keys: readonly Known[]): Promise<Ledger> {
  const name = `drafted_${++databases}`;
  await server.query(`create database ${name}`);
  const address = parseDatabaseUrl(server.url.replace(/postgres$/, name));
  await fill(await draftPostgres(address, { lack: undefined }), keys);
  return (await openPostgresLedger(address, opening)).ledger;
}

async function fill(draft: Draft, keys: readonly Known[]): Promise<void> {
  await using filled = draft;
  await filled.putAll(keys);
  await filled.finish(new Map());
}

/** The code of its failure, or what that says; "done" if it has none. */
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    ({ code, message }) => code ?? message,
  );

export const keyOf = (text: string | Uint8Array) => Buffer.from(text) as Uint8Array as Key;
export const live = (...volumes: string[]): ValueRecord => ({ state: "live", md5: "0".repeat(32), volumes });
export const holding = (...volumes: string[]): Entry => ({ record: live(...volumes), owed: [] });
export const debt = (volume: string, kind: Debt["kind"] = "in-flight", forMs = 0): Debt => {
  const now = nowMs();
  return { volume, kind, sinceMs: now, untilMs: now + forMs };
};
export const same = (before: Entry) => before;
