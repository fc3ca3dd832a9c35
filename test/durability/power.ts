// Owns a store on disks whose power can be cut: three volumes and an index, each on a disk of its own, so that no disk is
// saved by what another one syncs.
import { cpSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect } from "bun:test";
import { holding } from "../support/holding";
import { Cluster } from "../support/cluster";
import { request } from "../support/http";
import { journalsOf, owing } from "../support/journals";
import { runMkv, type Outcome } from "../support/master";
import { type Postgres, startPostgres } from "../support/postgres";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";
import { cutDisk, type CutDisk } from "./ext4";
import { startMkvVolume } from "./mkv-volume";
import { Traffic } from "./traffic";

export class PowerStore extends Cluster {
  readonly disks: CutDisk[] = [];
  /** Where its ledger is, if that is no folder. */
  database: Postgres | undefined;

  get indexDisk(): CutDisk {
    return this.disks.at(-1)!;
  }

  /** Starts writers, who go on until they are stopped. */
  traffic({ writers, mixed }: { writers: number; mixed: boolean }): Traffic {
    const { port } = this.master;
    const ask = (method: string, target: string, body?: Buffer) =>
      request(port, { method, target, ...(body && { body }), timeoutMs: 5_000 });
    return new Traffic({ ask, writers, mixed });
  }

  /** Cuts the power of all disks at once, then ends what runs, and puts in what was on the disks at the cut. */
  async cutPower(traffic?: Traffic): Promise<void> {
    for (const disk of this.disks) disk.cut();
    for (const disk of this.disks) await disk.copy();
    await this.master.kill();
    await Promise.all(this.volumes.map((volume) => volume.kill()));
    await this.database?.stop("SIGQUIT");
    await traffic?.stop();
    for (const disk of this.disks) await disk.recover();
  }

  /** The volumes again, in the order in which they were; no master yet. */
  async startVolumes(): Promise<void> {
    for (const volume of this.volumes) await volume.start();
  }

  /** A copy of the index and of its journals, for a job of its own. */
  copyIndex(folder: string): string {
    const name = basename(this.db);
    for (const file of readdirSync(dirname(this.db))) {
      if (file.startsWith(name)) cpSync(join(dirname(this.db), file), join(folder, file), { recursive: true });
    }
    return join(folder, name);
  }

  /** Runs a job over the volumes. */
  job(...args: string[]): Promise<Outcome> {
    return runMkv([...args.slice(0, -1), "-volumes", this.addresses.join(","), args.at(-1)!]);
  }

  /** Starts a master and waits until it has cleaned up after the cut; one that is stopped then leaves no journal. */
  async startSettled(): Promise<void> {
    await this.startMaster();
    const settled = () => owing(this.db) === 0;
    await until(settled, { what: "what was unfinished at the cut is cleaned up", deadlineMs: 20_000 });
    expect(await this.master.stop()).toBe(0);
    expect(journalsOf(this.db)).toEqual([]);
    await this.startMaster();
  }
}

/**
 * A store with these flags; under -sync `mkv volume` serves the volumes, else the plain script.
 * @param ledger where it is: in PostgreSQL it is synced as there by default
 */
export async function startPowerStore(
  flags: string[] = [],
  ledger: "LevelDB" | "PostgreSQL" = "LevelDB",
): Promise<PowerStore> {
  return await holding(async (held) => {
    const disks: CutDisk[] = [];
    for (let i = 0; i < 4; i++) disks.push(held.use(cutDisk()));
    const volumes: Volume[] = [];
    for (const { path } of disks.slice(0, 3)) {
      const options = { dir: join(path, "volume") };
      volumes.push(held.use(await (flags.includes("-sync") ? startMkvVolume(options) : startVolume(options))));
    }
    const where = join(disks[3]!.path, ledger);
    const settings = ["fsync=on", "max_wal_size=64MB"];
    const database = ledger === "PostgreSQL" ? held.use(await startPostgres({ data: where, settings })) : undefined;
    if (database) disks[3]!.flush(); // As it is when it has been there for a while.
    const store = new PowerStore(volumes, database?.url ?? where, flags, undefined, held);
    store.disks.push(...disks);
    store.database = database;
    await store.startMaster();
    return store;
  });
}
