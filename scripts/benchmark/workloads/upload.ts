// Owns the PUTs of large values: one, and 16 at once.
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Plan, compare } from "../compare";
import { type Work } from "../measure";
import { demand } from "../failure";
import { serveAll, sideOf } from "../programs";
import { ask, run } from "../traffic";
import { Shelf, upTo } from "../values";

/** One value at a time. */
export async function upload(bench: Bench): Promise<void> {
  const bytes = bench.sizes.uploadBytes;
  await uploads(bench, { title: `PUT of ${bytes / 1e6} MB`, unit: "s", wanted: "120 MB" }, { count: 1, bytes });
}

/** Many at once; the time is for all of them. */
export async function uploadMany(bench: Bench): Promise<void> {
  const bytes = bench.sizes.uploadsBytes;
  const plan = { title: `16 PUTs of ${bytes / 1e6} MB at once`, unit: "s", wanted: "300 MB" } as const;
  await uploads(bench, plan, { count: 16, bytes });
}

async function uploads(bench: Bench, plan: Plan, { count, bytes }: { count: number; bytes: number }): Promise<void> {
  await using shelf = await Shelf.start();
  const served = await serveAll(bench.programs, shelf);
  const source = join(shelf.folder, "source");
  const { stdout: md5 } = await run(["sh", "-c", `head -c ${bytes} /dev/urandom | tee '${source}' | md5sum`]);
  let turn = 0;

  /** Sends a value for each key to all URLs of it, by a curl each, and has a look at the files. */
  async function send(urlsOf: (key: string) => string[], check?: (key: string) => Promise<void>): Promise<Work> {
    turn++;
    const keys = upTo(count).map((n) => `/large/${turn}/${n}`);
    shelf.settle();
    const put = ["curl", "-sSf", "-o", "/dev/null", "-T", source];
    const { seconds } = await run([
      "sh",
      "-c",
      `printf '%s\\n' ${keys.flatMap(urlsOf).join(" ")} | xargs -P 99 -n 1 ${put.join(" ")}`,
    ]);
    for (const key of keys) {
      const files = shelf.filesOf(key);
      for (const file of files) demand(statSync(file).size === bytes, `${file} has not the bytes that were sent`);
      await check?.(key);
      for (const file of files) rmSync(file, { force: true });
    }
    return { items: 1, seconds };
  }
  const checkAndDelete = async (port: number, key: string) => {
    const { stdout } = await run(["sh", "-c", `curl -sSfL 'http://localhost:${port}${key}' | md5sum`]);
    demand(stdout === md5, `GET ${key} gives another value than was PUT`);
    await ask(204, "DELETE", `:${port}${key}`);
    demand(!shelf.filesOf(key).some(existsSync), `DELETE ${key} has left a file`);
  };
  const through = (port: number) =>
    send(
      (key) => [`http://localhost:${port}${key}`],
      (key) => checkAndDelete(port, key),
    );
  await compare(bench, plan, [
    { name: `${3 * count} curls to nginx`, measure: () => send((key) => shelf.urlsOf(key)) },
    ...served.map((one) => sideOf(one, through)),
  ]);
}
