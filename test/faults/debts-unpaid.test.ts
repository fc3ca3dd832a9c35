// Debts that cannot be paid as a DELETE pays them: the volume has something else there, or answers with a failure each time.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster } from "../support/cluster";
import { entangledPairs, type Entangled } from "../support/entangled";
import { startFaultyVolume, type Behaviour, type FaultyVolume } from "../support/faulty";
import { filesOn } from "../support/files";
import { request } from "../support/http";
import { owing } from "../support/journals";
import { startMaster } from "../support/master";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { targetOf } from "../support/values";

setDefaultTimeout(60_000);

test.concurrent("a debt that meets a folder, or a file above it, is paid, and removes nothing else", async () => {
  await using other = await startCluster({ flags: ["-subvolumes", "1"] });
  const [{ above }, { below }] = [...entangledPairs("pair").take(2)] as [Entangled, Entangled];
  await other.store(above, "deleted");
  await other.store(below as unknown as string, "deleted");
  const down = other.volumes[0]!;
  await down.kill();
  const deletes = [above, below].map(async (key) => (await other.ask("DELETE", targetOf(key))).status);
  expect(await Promise.all(deletes)).toEqual([204, 204]);
  expect(owing(other.db)).toBe(2);
  const [folder, file] = [join(down.dir, pathOf(above)), join(down.dir, dirname(pathOf(below)))];
  renameSync(folder, `${folder}-aside`);
  mkdirSync(folder);
  renameSync(`${folder}-aside`, join(folder, "inside"));
  renameSync(join(down.dir, pathOf(below)), `${file}-aside`);
  renameSync(`${file}-aside`, `${file}/file`);
  renameSync(file, `${file}-folder`);
  renameSync(`${file}-folder/file`, file);
  await down.start();
  await until(() => owing(other.db) === 0, { what: "nothing is owed" });
  expect(
    filesOn(down.dir)
      .map(({ path }) => path)
      .sort(),
  ).toEqual([`${pathOf(above)}/inside`, dirname(pathOf(below))].sort());
  expect(other.master.output).not.toContain("answered");
});

const answers: Behaviour[] = [400, 403, 405, 409, 412, 500, 503].map((status) => ({ does: "answer", status }));

test.concurrent("whatever a volume answers to it, a debt is tried ever more rarely, and told once", async () => {
  await using held = new AsyncDisposableStack();
  const volumes: { volume: FaultyVolume; triedMs: number[] }[] = [];
  for (const behaviour of [...answers, { does: "cut" } as const]) {
    const triedMs: number[] = [];
    const start = startFaultyVolume(({ method, path }) => {
      if (method === "DELETE") triedMs.push(performance.now());
      if (method === "DELETE") return behaviour;
      return {
        does: "answer",
        status: method === "HEAD" ? 200 : 204,
        headers: path === "/" ? {} : { "Content-Length": "1" },
      };
    });
    volumes.push({ volume: held.use(await start), triedMs });
  }
  const addresses = volumes.map(({ volume }) => volume.address);
  await using master = await startMaster({ volumes: addresses, flags: ["-replicas", "1", "-subvolumes", "1"] });
  const ask = (method: string, target: string) =>
    request(master.port, { method, target, ...(method === "PUT" && { body: "x" }) });
  for (const address of addresses) {
    const key = keyOn(addresses, address);
    expect([(await ask("PUT", key)).status, (await ask("DELETE", key)).status]).toEqual([201, 204]);
  }
  const longestPauseMs = (triedMs: number[]) => Math.max(...triedMs.map((ms, i) => ms - (triedMs[i - 1] ?? ms)));
  await until(() => volumes.every(({ triedMs }) => longestPauseMs(triedMs) > 1_200), {
    what: "the pauses have grown",
    deadlineMs: 20_000,
  });
  for (const { triedMs } of volumes) expect(triedMs.length).toBeLessThan(20);
  const told = master.output.split("\n").filter((line) => line.includes("waits"));
  expect(told.length).toBeLessThanOrEqual(addresses.length);
});

/** A key that belongs on this volume alone. */
function keyOn(volumes: string[], address: string): string {
  for (let i = 0; ; i++) {
    const key = `/unpaid-${i}`;
    if (placedOn(key, { volumes, replicas: 1, subvolumes: 1 })[0] === address) return key;
  }
}
