// An older copy of the index was put back: what it says of a key may be true of an earlier value. Whatever is done with it
// before the rebuild, the value that was acknowledged last is the one that the rebuild finds.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { runJob } from "../jobs/job";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, keyFirstOn } from "../support/copies";
import { withoutGrace } from "../support/grace";
import { follow } from "../support/http";
import { ageOrphans } from "../support/orphans";
import { until } from "../support/until";

setDefaultTimeout(90_000);
withoutGrace();

/** A cluster whose index is put back to what it was before some more was done; a master serves it. */
class PutBack implements AsyncDisposable {
  private constructor(
    readonly cluster: Cluster,
    readonly flags: string[],
  ) {}

  static async start(flags: string[], volumes: number): Promise<PutBack> {
    const all = ["-subvolumes", "1", ...flags];
    return new PutBack(await startCluster({ volumes, flags: all }), all);
  }

  get #jobFlags(): string[] {
    const at = this.flags.indexOf("-minreplicas"); // It is the server's.
    return at < 0 ? this.flags : this.flags.toSpliced(at, 2);
  }

  async putBackAfter(work: () => Promise<unknown>): Promise<void> {
    const { db, master } = this.cluster;
    await master.stop();
    cpSync(db, `${db}-copy`, { recursive: true });
    await this.cluster.startMaster();
    await work();
    await this.cluster.master.stop();
    rmSync(db, { recursive: true });
    cpSync(`${db}-copy`, db, { recursive: true });
    for (const volume of this.cluster.volumes) await volume.restart();
    await this.cluster.startMaster();
    expect(this.cluster.master.output).toContain("may lack what was acknowledged last");
  }

  /** Stores a value, on whatever volumes are there. */
  async store(key: string, body: string): Promise<void> {
    const written = async () => (await this.cluster.ask("PUT", key, { body })).status === 201;
    await until(written, { what: `${key} is written` });
  }

  /** Runs a job that has to leave something as it is, and says so. */
  async expectRefused(command: "verify" | "rebalance", flags: string[] = []): Promise<void> {
    const before = copiesOf(this.cluster, "/key");
    const job = { master: this.cluster.master.url, flags: [...this.#jobFlags, ...flags] };
    const { exitCode, output } = await runJob(this.cluster, command, job);
    expect([exitCode, output]).toEqual([1, expect.stringContaining("the index may lack what lies on the volumes")]);
    expect(copiesOf(this.cluster, "/key")).toEqual(before);
  }

  async valueAfterRebuild(key: string): Promise<string | number> {
    await this.cluster.master.stop();
    expect((await runJob(this.cluster, "rebuild", { flags: this.#jobFlags })).exitCode).toBe(0);
    await this.cluster.startMaster();
    const answer = await this.cluster.ask("GET", key);
    return answer.status === 302 ? (await follow(answer)).text : answer.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}

test.concurrent("a single copy that is not what the index says is not set aside by verify -md5 -repair", async () => {
  await using at = await PutBack.start(["-replicas", "1"], 2);
  await at.store("/key", "first");
  await at.putBackAfter(() => at.cluster.ask("PUT", "/key?replace", { body: "second" }));
  await at.expectRefused("verify", ["-md5", "-repair"]);
  expect(await at.valueAfterRebuild("/key")).toBe("second");
});

test.concurrent("a copy of the recorded value is put over no other one, by verify -repair or rebalance", async () => {
  await using at = await PutBack.start(["-replicas", "2", "-minreplicas", "1"], 2);
  await at.store("/key", "first value");
  await at.putBackAfter(async () => {
    await at.cluster.volumes[1]!.kill();
    expect((await at.cluster.ask("DELETE", "/key")).status).toBe(204);
    await at.store("/key", "second");
  });
  await at.expectRefused("verify", ["-repair"]);
  await at.expectRefused("rebalance");
  expect(await at.valueAfterRebuild("/key")).toBe("second");
});

test.concurrent(
  "a file that no record names stays, though the recorded copies are whole: verify -orphans",
  async () => {
    await using at = await PutBack.start(["-replicas", "1"], 2);
    const key = keyFirstOn(at.cluster, 0, "key");
    await at.store(key, "first");
    await at.putBackAfter(async () => {
      await at.cluster.volumes[0]!.kill();
      expect((await at.cluster.ask("DELETE", key)).status).toBe(204);
      await at.store(key, "second");
    });
    await at.expectRefused("verify", ["-orphans"]);
    await at.cluster.master.stop();
    expect(await ageOrphans(at.cluster.db, 61)).toBe(0); // No time makes it one that may go.
    await at.cluster.startMaster();
    await at.expectRefused("verify", ["-orphans"]);
    expect(await at.valueAfterRebuild(key)).toBe("second");
  },
);

test.concurrent("a volume that does not answer proves no absence", async () => {
  await using at = await PutBack.start(["-replicas", "1"], 3);
  const key = keyFirstOn(at.cluster, 0, "key");
  await at.putBackAfter(() => at.store(key, "acknowledged"));
  await at.cluster.volumes[0]!.kill();
  const { status, text } = await at.cluster.ask("PUT", key, { body: "another value" });
  expect([status, text]).toEqual([503, expect.stringContaining("rebuild")]);
  await at.cluster.volumes[0]!.restart();
  expect(await at.valueAfterRebuild(key)).toBe("acknowledged");
});

test.concurrent("a key that was unlinked then may be live now: a PUT does not overwrite it", async () => {
  await using at = await PutBack.start(["-replicas", "2"], 3);
  await at.store("/key", "first");
  expect((await at.cluster.ask("UNLINK", "/key")).status).toBe(204);
  await at.putBackAfter(() => at.store("/key", "second"));
  const { status, text } = await at.cluster.ask("PUT", "/key", { body: "third" });
  expect([status, text]).toEqual([503, expect.stringContaining("rebuild")]);
  expect(await at.valueAfterRebuild("/key")).toBe("second");
});

test.concurrent("a DELETE goes for the volumes to which the key has been moved since", async () => {
  await using at = await PutBack.start(["-replicas", "1"], 2);
  const key = keyFirstOn(at.cluster, 0, "key");
  await at.cluster.volumes[0]!.kill();
  await at.store(key, "value");
  await at.cluster.volumes[0]!.restart();
  await at.putBackAfter(async () => {
    const moved = async () => (await at.cluster.ask("POST", `${key}?rebalance`)).status === 204;
    await until(moved, { what: "the value is moved" });
  });
  expect((await at.cluster.ask("DELETE", key)).status).toBe(204);
  expect(await at.valueAfterRebuild(key)).toBe(404);
});
