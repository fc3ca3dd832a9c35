// A database that goes on from a standby, as the ledgers of masters see it that are at work.
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { expect, setDefaultTimeout, test } from "bun:test";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { temporaryFolder } from "../support/folder";
import { startPostgres } from "../support/postgres";
import { emptyStore, opening } from "./ledgers";

setDefaultTimeout(60_000);

// As before an operator took synchronous_standby_names away; or nothing, since the standby had not come so far.
const setSynchronous = "set value = jsonb_set(value::jsonb, '{isSynchronous}', 'true')::text";
test.each([
  { remembers: "that it was", change: `update mkv_memory ${setSynchronous} where name = 'timeline'` },
  { remembers: "nothing", change: "delete from mkv_memory where name = 'timeline'" },
])(
  "a master that has seen that replication was not synchronous is right: the standby remembers $remembers",
  async (it) => {
    await using folder = temporaryFolder();
    chmodSync(folder.path, 0o777);
    await using primary = await startPostgres();
    const { address, query } = await emptyStore(primary, "store");
    const { ledger, noteEpoch } = await openPostgresLedger(address, opening);
    await using _ledger = ledger;
    expect(await noteEpoch([])).toBeUndefined();
    await query(it.change);
    await primary.copyTo(join(folder.path, "standby"));
    await primary.stop("SIGQUIT");
    await using standby = await startPostgres({ data: join(folder.path, "standby"), port: primary.port });
    await standby.query("select pg_promote()");
    expect(await noteEpoch([])).toMatch(/^the database may lack what was acknowledged last: /);
  },
);
