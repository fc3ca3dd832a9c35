// The laws of trust, 6 and 8: what a volume does late, and what a clock that is set does to the store.
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { copiesOf, copiesOn, keyFirstOn } from "../support/copies";
import { temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { follow, request } from "../support/http";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";
import { CHECKOUT, startVolume } from "../support/volume";

setDefaultTimeout(60_000);

test.concurrent.each([
  ["PUT over an unlinked key", "SIGKILL", "1"],
  ["PUT over an unlinked key", "SIGTERM", "3"],
  ["PUT of a new key", "SIGKILL", "1"],
  ["DELETE", "SIGKILL", "1"],
  ["DELETE", "SIGTERM", "1"],
] as const)(
  "law 6: a %s that a volume was silent about cannot land on a value that was acknowledged after %s (%s replicas)",
  async (what, signal, replicas) => {
    const flags = ["-replicas", replicas, "-voltimeout", "500ms", "-stalltimeout", "1s"];
    await using cluster = await startGatedCluster({ volumes: 3, flags });
    const key = keyFirstOn(cluster, 0, "late");
    const gate = cluster.gates[0]!;
    if (what !== "PUT of a new key") await cluster.store(key, "old");
    if (what === "PUT over an unlinked key") await cluster.ask("UNLINK", key);
    const method = what === "DELETE" ? "DELETE" : "PUT";
    gate.hold(method, "arrival", { late: true, times: 1 });
    const first = cluster
      .ask(method, key, method === "PUT" ? { body: "never acknowledged" } : {})
      .catch(() => undefined);
    await gate.holds(method);
    await cluster.master.stop(signal);
    await first;
    await cluster.startMaster();
    const written = async () => {
      const { status } = await cluster.ask("PUT", key, { body: "acknowledged" });
      if (status === 403) await cluster.ask("DELETE", key); // The first was acknowledged after all, on other volumes.
      return status === 201;
    };
    await until(written, { what: "the key can be written again", deadlineMs: 20_000 });
    const written1 = copiesOf(cluster, key);
    gate.open();
    await until(() => gate.lateArrivals === 1, { what: "the late request has been answered", deadlineMs: 20_000 });
    for (let i = 0; i < 10; i++) expect((await follow(await cluster.ask("GET", key))).text).toBe("acknowledged");
    const good = Object.keys(copiesOn(Object.keys(written1), "acknowledged"));
    expect(good.length).toBeGreaterThanOrEqual(Number(replicas));
  },
);

test.concurrent.each([-3_600_000, 3_600_000])(
  "law 8: the wall's clock set by %p ms, while a volume is silent, changes nothing but dates",
  async (stepMs) => {
    await using a = await startVolume();
    await using b = await startVolume();
    await using c = await startVolume();
    await using folder = temporaryFolder();
    const skew = join(folder.path, "skew");
    const preload = join(folder.path, "skew.ts");
    writeFileSync(skew, "0");
    writeFileSync(
      preload,
      `import { readFileSync } from "node:fs"; const real = Date.now;
       Date.now = () => real() + Number(readFileSync(${JSON.stringify(skew)}, "utf8"));`,
    );
    const flags = ["-port", "0", "-threads", "1", "-stalltimeout", "1s", "-db", join(folder.path, "index")];
    const volumes = [a, b, c].map(({ address }) => address).join(",");
    const program = [process.execPath, "--preload", preload, join(CHECKOUT, "src", "main.ts")];
    const env = { PATH: process.env.PATH!, BUN_CONFIG_MAX_HTTP_REQUESTS: "16384" }; // Without it the program starts itself anew.
    await using master = new RunningProcess({ command: [...program, ...flags, "-volumes", volumes, "server"], env });
    const [, port] = await master.says(/listening on port (\d+)/);
    const ask = async (method: string, target: string) =>
      (await request(Number(port), { method, target, ...(method === "PUT" && { body: "x" }) })).status;
    expect(await ask("PUT", "/before")).toBe(201);
    a.freeze();
    expect(await ask("PUT", "/while-frozen")).toBe(503);
    writeFileSync(skew, String(stepMs));
    a.thaw();
    const works = async () => (await ask("PUT", "/after")) === 201;
    await until(works, { what: "writing works again soon after the volume is back", deadlineMs: 15_000 });
    expect(await ask("GET", "/before")).toBe(302);
    expect(await ask("DELETE", "/before")).toBe(204);
    expect(await ask("PUT", "/before")).toBe(201);
  },
);
