// A log that nobody reads costs neither service nor memory without bound, and does not hide that it has a gap.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { mkv } from "../support/master";
import { RunningProcess } from "../support/process";
import { until, within } from "../support/until";
import { startVolume } from "../support/volume";

setDefaultTimeout(90_000);

/** Reads the log until the master listens, and what comes after that when the pipe is written to. */
const reader = `while IFS= read -r line; do echo "$line"; [[ $line == *listening* ]] && break; done; read -r <"$0"; cat`;
const mostWaitingBytes = 5 * 1024 * 1024;

/** A master whose log is read no further than that, and the request whose lines have filled it. */
async function startUnread(held: AsyncDisposableStack) {
  const folder = held.use(temporaryFolder());
  const volume = held.use(await startVolume());
  const pipe = join(folder.path, "pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const flags = ["-port", "0", "-db", join(folder.path, "index"), "-threads", "2", "-v", "-replicas", "1"];
  const server = mkv([...flags, "-volumes", volume.address, "server"]);
  const command = ["bash", "-c", `exec "$@" 2> >(exec bash -c '${reader}' "$0")`, pipe, ...server];
  const master = held.use(new RunningProcess({ command }));
  const port = Number((await master.says(/listening on port (\d+)/))[1]);
  for (let i = 0; i < asked; i += 20)
    await Promise.all(
      Array.from({ length: 20 }, () => request(port, { target }).then(({ status }) => expect(status).toBe(414))),
    );
  return { master, port, volume, pipe };
}
const [asked, target] = [2000, `/${"x".repeat(12_000)}`];

test("lines of -v that nobody reads are left out when they are too many, and the log says how many", async () => {
  await using held = new AsyncDisposableStack();
  const { master, port, pipe } = await startUnread(held);
  expect((await request(port, { method: "PUT", target: "/key", body: "value" })).status).toBe(201);
  writeFileSync(pipe, "\n");
  const lines = () => master.stdout.split("\n");
  const told = () => lines().filter((line) => line.includes(target)).length;
  const leftOut = () =>
    lines().reduce(
      (sum, line) => sum + Number(/ warn (\d+) lines? left out here: nobody read/.exec(line)?.[1] ?? 0),
      0,
    );
  await until(() => leftOut() > 0 && told() + leftOut() >= asked, {
    what: "every line is told or counted",
    deadlineMs: 20_000,
  });
  expect(told() * target.length).toBeLessThan(mostWaitingBytes);
  expect([asked, asked + 1]).toContain(told() + leftOut()); // The line of the PUT is one of them, or is told.
});

test("a master that must end at once, since its index is older than the volumes, does not wait for who reads its log", async () => {
  await using held = new AsyncDisposableStack();
  const { master, volume } = await startUnread(held);
  const file = join(volume.dir, "mkv", "epoch");
  const [store, count] = readFileSync(file, "utf8").trim().split(" ");
  writeFileSync(file, `${store} ${Number(count) + 1}\n`);
  expect(await within(master.exited, { what: "it ends", deadlineMs: 30_000 })).not.toBe(0);
});
