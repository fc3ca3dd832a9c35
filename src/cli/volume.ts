// Owns `mkv volume`: the script `volume` out of the executable, with the sync service beside its nginx.
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import script from "../../volume" with { type: "text" };
import { MkvError, reasonOf } from "../errors";
import { serveSync } from "./sync-service";

/** Runs a volume until its nginx ends or it is asked to; returns nginx's exit code. Throws MkvError failed, usage. */
export async function runVolume(
  args: readonly string[],
  { environment, stop }: { environment: Environment; stop: AbortSignal },
): Promise<number> {
  if (!Bun.which("bash")) throw new MkvError("failed", "bash is not installed: the volume script needs it");
  const [dir] = args;
  if (args.length !== 1 || dir === undefined)
    throw new MkvError("usage", "name one folder, as in: PORT=3001 mkv volume DIR");
  let folder: string | undefined;
  try {
    mkdirSync(dir, { recursive: true });
    folder = mkdtempSync(join(realpathSync(dir), ".mkv-sync-")); // Where nginx's workers, another user, can reach it.
    chmodSync(folder, 0o755);
    const socket = join(folder, "socket");
    await using _service = serveSync(realpathSync(dir), socket);
    chmodSync(socket, 0o666);
    return await runScript(dir, { ...environment, SYNC_SOCKET: socket }, stop);
  } catch (error) {
    throw error instanceof MkvError
      ? error
      : new MkvError("failed", `volume ${dir}: ${reasonOf(error)}`, { cause: error });
  } finally {
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

async function runScript(dir: string, env: Environment, stop: AbortSignal): Promise<number> {
  const nginx = Bun.spawn(["bash", "-c", script, "volume", dir], { env, stdio: ["inherit", "inherit", "inherit"] });
  const end = () => nginx.kill("SIGTERM");
  if (stop.aborted) end();
  stop.addEventListener("abort", end, { once: true });
  return await nginx.exited;
}
