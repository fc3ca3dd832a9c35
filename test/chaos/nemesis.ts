// Owns the bad luck: a volume that dies, freezes or restarts, a master that is killed. What is decided depends on the seed
// alone; each fault is over before the same nemesis brings the next one.
import { runMkv } from "../support/master";
import { type Volume } from "../support/volume";
import { type Random } from "./random";
import { type World } from "./world";

/** A run: over when `isOver` says so. */
export type Span = { readonly isOver: () => boolean };

/** Strikes one of these volumes after the other. */
export async function strikeVolumes(volumes: readonly Volume[], random: Random, span: Span): Promise<string[]> {
  const struck: string[] = [];
  while (!span.isOver()) {
    const volume = volumes[random.between(0, volumes.length - 1)]!;
    const fault = random.weighted({ kill: 3, blink: 2, stop: 1, freeze: 4, stutter: 2 });
    const [lastsMs, restMs] = [random.between(300, 6_000), random.between(200, 4_000)];
    struck.push(fault);
    switch (fault) {
      case "kill":
        await volume.kill();
        await Bun.sleep(lastsMs);
        await volume.restart();
        break;
      case "blink":
        await volume.kill();
        await volume.restart();
        break;
      case "stop":
        await volume.stop();
        await Bun.sleep(lastsMs);
        await volume.restart();
        break;
      case "freeze":
        volume.freeze();
        await Bun.sleep(lastsMs);
        volume.thaw();
        break;
      case "stutter":
        for (let i = 0; i < 4; i++) {
          volume.freeze();
          await Bun.sleep(lastsMs / 10);
          volume.thaw();
          await Bun.sleep(50);
        }
    }
    await Bun.sleep(restMs);
  }
  return struck;
}

/**
 * Ends the master again and again, mostly by force.
 * @param options.putsBack now and then the index is put back that was there two masters ago
 */
export async function strikeMaster(
  world: World,
  random: Random,
  { putsBack, ...span }: Span & { putsBack: boolean },
): Promise<void> {
  for (let round = 0; !span.isOver(); round++) {
    await Bun.sleep(random.between(1_500, 7_000));
    const signal = random.weighted({ SIGKILL: 5, SIGTERM: 2 });
    await world.replaceMaster(signal, async () => {
      if (putsBack && round % 3 === 0) await world.keepCopy();
      if (putsBack && round % 3 === 2) await world.putBackCopy();
    });
  }
}

const jobs = {
  rebalance: ["rebalance"],
  verify: ["-orphans", "verify"],
  repair: ["-md5", "-repair", "-orphans", "verify"],
};

/** Runs jobs through the master, one after the other. It may end meanwhile, and volumes may: then a job fails, and says so. */
export async function runJobs(world: World, random: Random, span: Span): Promise<void> {
  while (!span.isOver()) {
    const job = jobs[random.weighted({ rebalance: 2, verify: 1, repair: 2 })];
    const port = await world.port();
    const args = ["-master", `http://localhost:${port}`, "-volumes", world.cluster.addresses.join(","), ...job];
    const { exitCode, stdout, stderr } = await runMkv(args, { timeoutMs: 120_000 });
    if (![0, 1].includes(exitCode) || /a bug/.test(stdout + stderr))
      throw new Error(`mkv ${job.join(" ")} ended with ${exitCode}: ${stdout} ${stderr}`);
    world.jobs[exitCode === 0 ? "done" : "failed"]++;
    await Bun.sleep(random.between(100, 1_500));
  }
}
