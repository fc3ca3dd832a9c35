// Owns the PUTs of large values: one, and many at once.
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Workload, compare, entrant, serveAll } from "../bench";
import { outputOf } from "../children";
import { Cluster } from "../cluster";
import { demand } from "../failure";
import { hyperfine } from "../hyperfine";
import { type Row } from "../row";
import { placeOf } from "../shelf";

type Plan = Pick<Row, "workload" | "title" | "target"> & {
  peakTargetBytes: number;
  count: number;
  bytes: (bench: Bench) => number;
};

/** One value at a time. */
export const upload = workloadOf({
  workload: "upload",
  title: "one large PUT",
  target: 1.1,
  peakTargetBytes: 120e6,
  count: 1,
  bytes: ({ sizes }) => sizes.oneUploadBytes,
});

/** Many at once. */
export const uploads = workloadOf({
  workload: "uploads",
  title: "16 large PUTs at once",
  target: 1.15,
  peakTargetBytes: 300e6,
  count: 16,
  bytes: ({ sizes }) => sizes.uploadBytes,
});

function workloadOf(plan: Plan): Workload {
  return {
    name: plan.workload,
    room: (bench) => ({ bytes: (3 * plan.count + 1) * plan.bytes(bench), files: 1000 }),
    run: (bench) => run(bench, { ...plan, bytes: plan.bytes(bench) }),
  };
}

async function run(bench: Bench, { count, bytes, ...row }: Omit<Plan, "bytes"> & { bytes: number }): Promise<Row[]> {
  await using cluster = await Cluster.start(bench.home, row.workload);
  const source = join(cluster.folder, "source");
  const md5 = makeSource(source, bytes);
  let turn = 0;
  const keysOfTurn = () => Array.from({ length: count }, (_, i) => `/large/${turn}/${i}`);

  async function timed(urls: readonly string[]): Promise<number> {
    bench.home.settle();
    return await hyperfine(putAll(source, urls), join(cluster.folder, "hyperfine.json"));
  }
  function clear(keys: readonly string[]): void {
    for (const file of keys.flatMap((key) => filesOf(cluster, key))) {
      demand(statSync(file).size === bytes, `${file} has not the bytes that were sent`);
      rmSync(file);
    }
  }
  async function straight(): Promise<number> {
    turn++;
    const seconds = await timed(keysOfTurn().flatMap((key) => urlsOf(cluster, key)));
    clear(keysOfTurn());
    return seconds;
  }
  async function through(port: number): Promise<number> {
    turn++;
    const keys = keysOfTurn();
    const master = `http://localhost:${port}`;
    const seconds = await timed(keys.map((key) => master + key));
    for (const key of keys) {
      const found = (await outputOf(["sh", "-c", `curl -sSfL ${master}${key} | md5sum`])).slice(0, 32);
      demand(found === md5, `GET ${key} gives another value than was PUT`);
      await outputOf(["curl", "-sSf", "-X", "DELETE", master + key]);
      demand(!filesOf(cluster, key).some(existsSync), `DELETE ${key} has left a file`);
    }
    return seconds;
  }

  await using served = await serveAll(bench.contestants, (contestant) =>
    contestant.serve(join(cluster.folder, `db-${contestant.name}`), cluster.flags()),
  );
  const rows = await compare(bench, {
    ...row,
    title: `${row.title}, ${Math.round(bytes / 1e6)} MB`,
    unit: "s",
    runs: 3,
    yardstick: { title: `${3 * count} curls to nginx`, measure: straight },
    entrants: served.masters.map((master) => entrant(master, () => through(master.port))),
  });
  for (const master of served.masters) await master.demandHealth();
  return rows;
}

/** The command that sends a file to all of these at once, by a curl each, and fails if one of them does not store it. */
function putAll(file: string, urls: readonly string[]): string {
  const puts = urls.map(
    (url) => `[ "$(curl -sS -o /dev/null -w '%{http_code}' -T '${file}' '${url}')" = 201 ] & all="$all $!"`,
  );
  return `${puts.join("\n")}\nfor one in $all; do wait $one || exit 1; done`;
}

function urlsOf(cluster: Cluster, key: string): string[] {
  const { path, volumes } = placeOf(key, cluster.topology());
  return volumes.map((volume) => `http://${volume}${path}`);
}

function filesOf(cluster: Cluster, key: string): string[] {
  const { path, volumes } = placeOf(key, cluster.topology());
  return volumes.map((volume) => cluster.fileOf(volume, path));
}

/** A file of random bytes; returns its MD5. */
function makeSource(file: string, bytes: number): string {
  const hash = createHash("md5");
  const descriptor = openSync(file, "w");
  for (let left = bytes; left > 0;) {
    const chunk = crypto.getRandomValues(new Uint8Array(Math.min(left, 65_536)));
    hash.update(chunk);
    left -= writeSync(descriptor, chunk);
  }
  closeSync(descriptor);
  return hash.digest("hex");
}
