// Owns `mkv volume`: the script `volume`, out of the executable, and nothing else.
import script from "../../volume" with { type: "text" };
import { MkvError } from "../errors";
import { type Surroundings } from "./commands";

/** Runs the volume script until it ends or is asked to; its exit code is ours. Throws MkvError failed without bash. */
export async function runVolume(args: readonly string[], { environment, stop }: Surroundings): Promise<number> {
  if (!Bun.which("bash")) throw new MkvError("failed", "bash is not installed: the volume script needs it");
  const child = Bun.spawn(["bash", "-c", script, "volume", ...args], {
    env: { ...environment },
    stdio: ["inherit", "inherit", "inherit"],
  });
  const end = () => child.kill("SIGTERM");
  if (stop.aborted) end();
  else stop.addEventListener("abort", end, { once: true });
  return await child.exited;
}
