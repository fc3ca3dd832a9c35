// Owns `mkv volume`: the script `volume` out of the executable, with a service of our own beside its nginx.
// 1. Started as root, it does nothing in the folder of the values as root: the script hands a fresh one over, and then this
//    process becomes the user who serves it, before it opens anything there.
// 2. The script ends nginx when its standard input ends: nginx does not outlive this process, however that dies.
import { accessSync, chmodSync, constants, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import script from "../../volume" with { type: "text" };
import { MkvError, reasonOf } from "../errors";
import { type Environment } from "./config";
import { become } from "./owner";
import { serveBeside } from "./volume-service";

/** What the environment says of a volume. */
export const volumeVariables = {
  PORT: "to listen on (default: 3001)",
  BIND: "address to listen on (default: all)",
  AUTH: "password file as htpasswd writes it: every request must then carry a name and password from it",
  LINK_KEY:
    "file with the secret that the master has as -linkkey: it must then sign every request, or, with AUTH as well, either will do",
  SYNC_SOCKET: "set by mkv volume itself: the socket of what syncs values, which -sync needs",
} as const;

/** Runs a volume until its nginx ends or it is asked to; returns nginx's exit code. Throws MkvError failed, usage. */
export async function runVolume(
  args: readonly string[],
  { environment, stop }: { environment: Environment; stop: AbortSignal },
): Promise<number> {
  if (!Bun.which("bash")) throw new MkvError("failed", "bash is not installed: the volume script needs it");
  const [dir] = args;
  if (args.length !== 1 || dir === undefined)
    throw new MkvError("usage", "name one folder, as in: PORT=3001 mkv volume DIR");
  const env = { ...environment, AUTH: absolute(environment["AUTH"]), LINK_KEY: absolute(environment["LINK_KEY"]) };
  let folder: string | undefined;
  try {
    if (process.getuid!() === 0) {
      const code = handOver(dir, env);
      if (code !== 0) return code;
    }
    mkdirSync(dir, { recursive: true });
    folder = mkdtempSync(join(temporaryFolder(environment), "mkv-volume."));
    const socket = join(folder, "service");
    await using _service = serveBeside(realpathSync(dir), socket);
    chmodSync(socket, 0o600);
    writeFileSync(join(folder, "volume"), script);
    return await runScript(realpathSync(dir), { ...env, RUN_FOLDER: folder, SYNC_SOCKET: socket }, stop);
  } catch (error) {
    throw error instanceof MkvError
      ? error
      : new MkvError("failed", `volume ${dir}: ${reasonOf(error)}`, { cause: error });
  } finally {
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
}

/** Has the script hand the folder over, and becomes its user. Returns the script's exit code. */
function handOver(dir: string, env: Environment): number {
  const { exitCode, stdout } = Bun.spawnSync(["bash", "-c", script, "volume", dir], {
    env: { ...env, PREPARE: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [user, group] = stdout.toString().trim().split(" ");
  if (exitCode !== 0 || !user || !group) return exitCode || 1;
  become(user, group);
  return 0;
}

/** Where the script makes its own folder: nobody else may enter what is made there. */
function temporaryFolder(environment: Environment): string {
  const folder = environment["RUNTIME_DIRECTORY"] || environment["TMPDIR"] || "/tmp";
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return folder;
  } catch {
    return "/tmp"; // That folder is root's own, and this process is root no more.
  }
}

function absolute(path: string | undefined): string | undefined {
  return path ? resolve(path) : path;
}

async function runScript(dir: string, env: Environment & { RUN_FOLDER: string }, stop: AbortSignal): Promise<number> {
  const running = Bun.spawn(["bash", join(env.RUN_FOLDER, "volume"), dir], {
    env,
    cwd: "/",
    stdio: ["pipe", "inherit", "inherit"],
  });
  const end = () => running.kill("SIGTERM");
  if (stop.aborted) end();
  stop.addEventListener("abort", end, { once: true });
  const code = await running.exited;
  await running.stdin.end(); // Where it ends, the script ends nginx.
  return code;
}
