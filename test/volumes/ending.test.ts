// How a volume begins and ends: one line when it listens, and time for transfers when it is asked to stop.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { existsSync } from "node:fs";
import { dial, head, request } from "../support/http";
import { RunningProcess } from "../support/process";
import { temporaryFolder } from "../support/folder";
import { freePort } from "../support/ports";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { CHECKOUT, startVolume, type Volume } from "../support/volume";
import { isAlive, startMkvVolume } from "../durability/mkv-volume";

setDefaultTimeout(90_000);
const VALUE = "/sv00/ab/cd/value";
const HALF = 10_000_000; // More than the sockets hold.

const kinds: [string, () => Promise<Volume & { mkv?: RunningProcess }>][] = [
  ["./volume", () => startVolume()],
  ["mkv volume", () => startMkvVolume()],
];

/** Asks it to end; its exit code, when that comes. */
function ask(volume: Volume & { mkv?: RunningProcess }, signal: NodeJS.Signals): Promise<number> {
  if (!volume.mkv) return volume.signal(signal);
  volume.mkv.children();
  volume.mkv.signal(signal);
  return volume.mkv.exited;
}

test.concurrent.each(kinds)("%s says in one line that it listens, where, and as whom", async (_, start) => {
  await using volume = await start();
  await until(() => volume.output !== "", { what: "it says something" });
  const line = `^volume: listening on port ${volume.port}, serves ${volume.dir} as user [a-z_-]+\n$`;
  expect(volume.output).toMatch(new RegExp(line));
});

for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
  test.concurrent.each(kinds)(
    `%s: after ${signal} a GET and a PUT end, nothing new begins, and then all is over`,
    async (_, start) => {
      await using volume = await start();
      const value = valueOf("big", 2 * HALF);
      expect((await request(volume.port, { method: "PUT", target: VALUE, body: value })).status).toBe(201);
      using reader = await dial(volume.port);
      using writer = await dial(volume.port);
      reader.pause();
      reader.write(head({ method: "GET", target: VALUE }, { close: false }));
      const ask2 = { method: "PUT", target: "/sv01/ab/cd/new", headers: { "Content-Length": String(2 * HALF) } };
      writer.write(head(ask2, { close: false }));
      writer.write(value.subarray(0, HALF));
      await writer.drained();
      await Bun.sleep(100); // Until nginx has the GET in hand.
      const ended = ask(volume, signal);
      await until(
        () =>
          dial(volume.port).then(
            (wire) => (wire[Symbol.dispose](), false),
            () => true,
          ),
        { what: "nothing new is taken" },
      );
      writer.write(value.subarray(HALF));
      expect((await writer.answer()).status).toBe(201);
      reader.resume();
      expect((await reader.answer()).body.equals(value)).toBe(true);
      expect(await ended).toBe(0);
      expect(existsSync(join(volume.dir, "/sv01/ab/cd/new"))).toBe(true);
      expect(volume.runFolders()).toEqual([]);
    },
  );
}

test.concurrent("a transfer that does not end is cut off after half a minute", async () => {
  await using volume = await startVolume();
  using writer = await dial(volume.port);
  writer.write(head({ method: "PUT", target: VALUE, headers: { "Content-Length": "1000" } }, { close: false }));
  writer.write("half");
  await Bun.sleep(100);
  const since = performance.now();
  expect(await volume.signal("SIGTERM")).toBe(0);
  const seconds = (performance.now() - since) / 1000;
  expect(seconds).toBeGreaterThan(25);
  expect(seconds).toBeLessThan(45);
});

test.concurrent.each(kinds)("%s: SIGINT ends it at once, with whatever is under way", async (_, start) => {
  await using volume = await start();
  using writer = await dial(volume.port);
  writer.write(head({ method: "PUT", target: VALUE, headers: { "Content-Length": "1000" } }, { close: false }));
  writer.write("half");
  await Bun.sleep(100);
  const processes = volume.mkv ? volume.mkv.children() : volume.processes();
  // As a terminal does, to all in the foreground; some end when their parent has got it.
  for (const pid of processes) {
    try {
      process.kill(pid, "SIGINT");
    } catch (error) {
      expect((error as { code?: string }).code).toBe("ESRCH");
    }
  }
  await until(() => !processes.some(isAlive), { what: "all has ended", deadlineMs: 5_000 });
});

test.concurrent("a volume listens on the address that BIND names, and no other", async () => {
  await using folder = temporaryFolder();
  for (const [bind, answering] of [
    ["127.0.0.1", true],
    ["127.0.0.2", false],
    ["::1", false],
  ] as const) {
    const port = await freePort();
    const env = { PORT: String(port), BIND: bind, TMPDIR: "/tmp" };
    await using process = new RunningProcess({ command: [join(CHECKOUT, "volume"), join(folder.path, "volume")], env });
    await process.says(/listening/);
    process.children();
    const answered = await request(port, { target: "/" }).then(
      () => true,
      () => false,
    );
    expect([bind, answered]).toEqual([bind, answering]);
    await process.end();
  }
  const wrong = ["localhost", "10.0.0.1; daemon on", "*", "1.2.3.4:80 ssl"];
  for (const bind of wrong) {
    const env = { PORT: String(await freePort()), BIND: bind };
    await using process = new RunningProcess({ command: [join(CHECKOUT, "volume"), join(folder.path, "volume")], env });
    expect(await process.exited).toBe(2);
    expect(process.stderr).toMatch(/^volume: BIND=[^\n]*\n$/);
  }
});
