import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { mkv } from "../support/master";
import { Doorway, Names, canMoveNames } from "../support/names";
import { RunningProcess } from "../support/process";
import { bigValue } from "../support/big";
import { startVolume } from "../support/volume";

setDefaultTimeout(60_000);
/** Bun remembers an address for thirty seconds. On a busy machine a write falls silent first, and its fence is waited for. */
const foundAgainMs = 15_000;

test
  .skipIf(!canMoveNames)
  .concurrent("a volume whose name gets another address is found there in seconds", async () => {
    await using folder = temporaryFolder();
    await using volume = await startVolume();
    await using other = await startVolume();
    await using first = await Doorway.start("127.0.0.2", 0, () => volume.port);
    await using second = await Doorway.start("127.0.0.3", first.port, () => volume.port);
    await using third = await Doorway.start("127.0.0.4", first.port, () => volume.port);
    await using foreign = await Doorway.start("127.0.0.5", first.port, () => other.port);
    const names = new Names(folder.path);
    names.set("volume.test", "127.0.0.2");
    const flags = ["-replicas", "1", "-port", "0", "-db", join(folder.path, "index"), "-threads", "2", "-v"];
    const command = names.command(mkv([...flags, "-volumes", `volume.test:${first.port}`, "server"]));
    await using master = new RunningProcess({ command });
    const port = Number((await master.says(/listening on port (\d+)/))[1]);
    const put = async (target: string, body: string | Buffer) =>
      (await request(port, { method: "PUT", target, body }).catch(() => undefined))?.status;
    expect(await put("/small", "small")).toBe(201);
    expect(await put("/large", bigValue("large", 300_000))).toBe(201);

    /** Moves the name, and gives the milliseconds until values of both kinds are taken and found at the new address. */
    async function moved(address: string, at: Doorway): Promise<number> {
      names.set("volume.test", address);
      const startMs = performance.now();
      let works = false;
      async function attempt(n: number): Promise<void> {
        if ((await put(`/small-${address}-${n}`, "small")) !== 201) return;
        if ((await put(`/large-${address}-${n}`, bigValue("large", 300_000))) !== 201) return;
        works ||= (await request(port, { target: "/small" })).status === 302 && at.connections > 0;
      }
      for (let n = 0; !works && performance.now() - startMs < 20_000; n++) {
        void attempt(n).catch(() => {}); // What was sent to the old address may hang: others do not wait for it.
        await Bun.sleep(100);
      }
      return performance.now() - startMs;
    }

    first.freeze();
    expect(await moved("127.0.0.3", second)).toBeLessThan(foundAgainMs);
    expect(await moved("127.0.0.4", third)).toBeLessThan(foundAgainMs); // The one before is still there, and answers.
    names.set("volume.test", "127.0.0.5");
    await master.says(/volume\.test:\d+ is not the disk it was/, 10_000);
    const { connections } = second; // Attempts from before may have reached it until now.
    expect(await put("/foreign", "foreign")).toBe(503);
    expect([foreign.connections > 0, second.connections]).toEqual([true, connections]);
  });

test.skipIf(!canMoveNames).concurrent("a volume that was reached once needs no resolver any more", async () => {
  await using folder = temporaryFolder();
  await using volume = await startVolume();
  const names = new Names(folder.path);
  names.set("volume.test", "127.0.0.1");
  const flags = ["-replicas", "1", "-port", "0", "-db", join(folder.path, "index"), "-threads", "1"];
  const command = names.command(mkv([...flags, "-volumes", `volume.test:${volume.port}`, "server"]));
  const env = { BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: "1" }; // What Bun remembers is of no use for long.
  await using master = new RunningProcess({ command, env });
  const port = Number((await master.says(/listening on port (\d+)/))[1]);
  const put = (n: number) => request(port, { method: "PUT", target: `/large-${n}`, body: bigValue("large", 300_000) });
  expect((await put(0)).status).toBe(201);
  names.forget();
  for (let n = 1; n <= 6; n++) {
    await Bun.sleep(500);
    expect([n, (await put(n)).status]).toEqual([n, 201]);
  }
});
