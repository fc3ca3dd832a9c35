// A master whose machine was paused, as a laptop or a virtual machine can be: its own clock stood still, so that by it no claim
// has run out. What others wrote meanwhile stays.
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { temporaryFolder } from "../support/folder";
import { dial, head, type Wire } from "../support/http";
import { startPostgres } from "../support/postgres";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
/** Longer than a request may be on its way to a volume: the volumes refuse what was signed before. */
const PAUSE_MS = 7_500;

/** A master that can be stopped without its clock going on. */
async function startPausable(cluster: Cluster) {
  await using held = new AsyncDisposableStack();
  const folder = held.use(temporaryFolder());
  const [skew, preload] = [join(folder.path, "skew"), join(folder.path, "skew.ts")];
  writeFileSync(skew, "0");
  writeFileSync(
    preload,
    `import { readFileSync } from "node:fs"; const real = performance.now.bind(performance);
     performance.now = () => real() - Number(readFileSync(${JSON.stringify(skew)}, "utf8"));`,
  );
  const program = [process.execPath, "--preload", preload, join(CHECKOUT, "src", "main.ts")];
  const flags = ["-port", "0", "-threads", "1", "-heal", "0", "-db", cluster.db];
  const env = { PATH: process.env.PATH!, BUN_CONFIG_MAX_HTTP_REQUESTS: "16384" }; // Without it the program starts itself anew.
  const command = [...program, ...flags, "-volumes", cluster.addresses.join(","), "server"];
  const master = held.use(new RunningProcess({ command, env }));
  const [, port] = await master.says(/listening on port (\d+)/);
  const kept = held.move();
  return {
    port: Number(port),
    /** Stops it until `goOn` is called. */
    pause() {
      master.signal("SIGSTOP");
      const startMs = performance.now();
      return {
        isLongEnough: () => performance.now() - startMs > PAUSE_MS,
        goOn() {
          writeFileSync(skew, String(performance.now() - startMs));
          master.signal("SIGCONT");
        },
      };
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Short values: one that comes at once, and one of which a volume writes down the first before it has the last. */
const [AT_ONCE_BYTES, IN_PIECES_BYTES, PIECE_BYTES] = [100, 100_000, 1_000];

/** A PUT of so many bytes, which are still to come. */
async function begin(port: number, key: string, bytes: number): Promise<Wire> {
  const wire = await dial(port);
  wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": String(bytes) } }, { close: false }));
  return wire;
}

test("what another master wrote during the pause of a machine is not overwritten by what that had in hand", async () => {
  await using server = await startPostgres();
  await using cluster = await startCluster({ db: server.url });
  await using paused = await startPausable(cluster);
  const isClaimed = (key: string) => server.query("select 1 from mkv_keys where key = $1 and held", [Buffer.from(key)]);
  const keys = ["/waiting", "/on-its-way", "/waiting-2", "/on-its-way-2"];
  const wires = await Promise.all(
    keys.map((key, i) => begin(paused.port, key, i % 2 === 0 ? AT_ONCE_BYTES : IN_PIECES_BYTES)),
  );
  for (const key of keys) await until(async () => (await isClaimed(key)).length, { what: `${key} is claimed` });
  let sentBytes = 0;
  const areOnTheirWay = () => {
    if (sentBytes < IN_PIECES_BYTES / 2) {
      for (const at of [1, 3]) wires[at]!.write(valueOf(sentBytes, PIECE_BYTES));
      sentBytes += PIECE_BYTES;
    }
    return cluster.remains().length === 6;
  };
  await until(areOnTheirWay, { what: "two bodies are on their way to all volumes" });

  const pause = paused.pause();
  await server.query("update mkv_keys set due = now() where held"); // As if its claims had run out.
  const isWritten = async (key: string) => (await cluster.ask("PUT", key, { body: "fresh" })).status === 201;
  await Promise.all(
    keys.map((key) => until(() => isWritten(key), { what: `${key} is the other's`, deadlineMs: 15_000 })),
  );
  await until(pause.isLongEnough, { what: "the pause has been long" });
  {
    using _ = server.freezeAll(); // What the database could tell it comes too late.
    pause.goOn();
    // The first two are the first thing that it does. With the next two it has heard of its volumes.
    for (const [waiting, onItsWay] of [wires.slice(0, 2), wires.slice(2)]) {
      const before = cluster.remains().length;
      waiting!.write(valueOf("stale", AT_ONCE_BYTES));
      onItsWay!.write(valueOf("rest", IN_PIECES_BYTES - sentBytes));
      await until(() => cluster.remains().length === before - 3, { what: "the body on its way has come to its end" });
    }
  }
  for (const wire of wires) expect((await wire.answer()).status).toBe(503);
  for (const key of keys) expect([key, copiesOf(cluster, key)]).toEqual([key, copiesOn(homeOf(cluster, key), "fresh")]);
});
