// The life of `mkv volume`: nginx, and beside it the sync service, start and end together.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { mkv, runMkv } from "../support/master";
import { freePort } from "../support/ports";
import { RunningProcess, descendantsOf } from "../support/process";
import { until } from "../support/until";
import { CHECKOUT, startVolume } from "../support/volume";
import { isAlive, startMkvVolume } from "./mkv-volume";

setDefaultTimeout(60_000);
const PATH = "/sv00/5d/41/aGVsbG8=";
const ONE_LINE = /^[^\n]{10,400}\n$/;
const put = (port: number) => request(port, { method: "PUT", target: PATH, body: "value" });

test.concurrent.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends nginx and the sync service, and leaves nothing",
  async (signal) => {
    await using volume = await startMkvVolume();
    await put(volume.port);
    expect(volume.runFolders().length).toBe(1);
    const nginx = volume.nginx();
    expect(nginx.length).toBeGreaterThan(1);
    expect(await volume.stop(signal)).toBe(0);
    expect(nginx.filter(isAlive)).toEqual([]);
    expect(volume.runFolders()).toEqual([]);
    expect(volume.output).toMatch(/^volume: listening on port \d+[^\n]*\n$/);
  },
);

test.concurrent.each(["SIGHUP", "SIGQUIT"] as const)(
  "%s leaves no nginx behind that cannot sync any more",
  async (signal) => {
    await using volume = await startMkvVolume();
    const nginx = volume.nginx();
    volume.mkv.signal(signal);
    await until(() => volume.mkv.ended, { what: `mkv volume ends after ${signal}` });
    await until(() => nginx.filter(isAlive).length === 0, { what: "nginx has ended", deadlineMs: 3_000 });
    expect(volume.runFolders()).toEqual([]);
  },
);

test.concurrent("a volume that was stopped starts again, and syncs what was there", async () => {
  await using volume = await startMkvVolume();
  await put(volume.port);
  for (let times = 0; times < 3; times++) {
    await volume.restart();
    expect(await volume.sync(PATH)).toBe(204);
  }
  expect(volume.runFolders().length).toBe(1);
});

test.concurrent("after a power cut a volume starts again, and syncs what was there", async () => {
  await using volume = await startMkvVolume();
  await put(volume.port);
  await volume.kill();
  await volume.restart();
  expect(await volume.sync(PATH)).toBe(204);
  expect((await request(volume.port, { target: PATH })).text).toBe("value");
});

test.concurrent("when mkv alone is killed, nothing is left running, and nothing in the way of a new one", async () => {
  await using volume = await startMkvVolume();
  await put(volume.port);
  await volume.killMkvAlone();
  await until(() => volume.nginx().length === 0, { what: "nginx has ended", deadlineMs: 5_000 });
  await until(() => volume.runFolders().length === 0, { what: "its folder is gone", deadlineMs: 5_000 });
  await volume.start();
  expect(await volume.sync(PATH)).toBe(204);
});

test.concurrent("when nginx dies, mkv volume ends with an error, so that a supervisor starts both anew", async () => {
  await using volume = await startMkvVolume();
  const master = volume.nginx().find((pid) => descendantsOf(pid).length > 0);
  process.kill(master!, "SIGKILL");
  await until(() => volume.mkv.ended, { what: "mkv volume ends" });
  expect(volume.runFolders()).toEqual([]);
  await volume.kill(); // The workers, which outlive their master.
  expect(await volume.mkv.exited).toBeGreaterThan(0);
});

test.concurrent("two volumes on one machine sync each its own values", async () => {
  await using one = await startMkvVolume();
  await using other = await startMkvVolume();
  await put(one.port);
  expect([await one.sync(PATH), await other.sync(PATH)]).toEqual([204, 410]);
  expect(await one.stop()).toBe(0);
  await put(other.port);
  expect(await other.sync(PATH)).toBe(204);
});

const mistakes: [string, (home: string) => { dir?: string; env?: Record<string, string> }][] = [
  ["a port that is none", () => ({ env: { PORT: "none" } })],
  ["an AUTH file that is missing", (home) => ({ env: { AUTH: join(home, "missing") } })],
  ["an AUTH file that is a folder", (home) => ({ env: { AUTH: home } })],
  ["a folder that nginx cannot be told of", (home) => ({ dir: join(home, 'a"b') })],
];

test.concurrent.each(mistakes)(
  "%s: mkv volume says what the script says, and ends with its exit code",
  async (_, make) => {
    await using folder = temporaryFolder();
    const { dir = join(folder.path, "volume"), env = {} } = make(folder.path);
    const all = { PORT: String(await freePort()), ...env };
    await using script = new RunningProcess({ command: [join(CHECKOUT, "volume"), dir], env: all });
    const exitCode = await script.exited;
    expect([1, 2]).toContain(exitCode);
    expect(script.stderr).toMatch(ONE_LINE);
    const temporary = join(folder.path, "tmp");
    mkdirSync(temporary);
    const outcome = await runMkv(["volume", dir], { env: { ...all, TMPDIR: temporary } });
    expect(outcome).toEqual({ exitCode, stdout: "", stderr: script.stderr });
    expect([...new Bun.Glob("*").scanSync({ cwd: temporary, onlyFiles: false })]).toEqual([]);
  },
);

test.concurrent(
  "a port that is taken, and a folder that another volume serves, are one line and exit code 1",
  async () => {
    await using plain = await startVolume();
    await using folder = temporaryFolder();
    const env = { PORT: String(plain.port) };
    const taken = await runMkv(["volume", join(folder.path, "volume")], { env });
    expect(taken.exitCode).toBe(1);
    expect(taken.stderr).toMatch(ONE_LINE);
    expect(taken.stderr).toContain(String(plain.port));
    const served = await runMkv(["volume", plain.dir], { env: { PORT: String(await freePort()) } });
    expect(served.exitCode).toBe(1);
    expect(served.stderr).toMatch(ONE_LINE);
    expect(served.stderr).toContain(plain.dir);
    expect((await put(plain.port)).status).toBe(201);
  },
);

test.concurrent("a folder that cannot be made is one line and exit code 1", async () => {
  await using folder = temporaryFolder();
  writeFileSync(join(folder.path, "file"), "");
  for (const dir of ["file", "file/below"].map((name) => join(folder.path, name))) {
    const { exitCode, stderr } = await runMkv(["volume", dir], { env: { PORT: String(await freePort()) } });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(ONE_LINE);
    expect(stderr).toContain(dir);
  }
});

const temporaries: [string, string, number][] = [
  ["nobody else may enter", "private", 0o700],
  ["has a long name", "long".repeat(30), 0o777],
];

test.concurrent.each(temporaries)(
  "with a temporary folder that %s, a volume syncs or says why not",
  async (_, name, mode) => {
    await using folder = temporaryFolder();
    const temporary = join(folder.path, name);
    mkdirSync(temporary, { mode });
    const port = await freePort();
    const env = { PORT: String(port), TMPDIR: temporary };
    await using volume = new RunningProcess({ command: mkv(["volume", join(folder.path, "volume")]), env });
    const ask = () => request(port, { method: "POST", target: "/.sync/", body: "", timeoutMs: 1_000 });
    const status = await until(
      async () => {
        volume.children(); // So that nginx is known, and ends with it.
        return volume.ended || (await ask().catch(() => undefined))?.status;
      },
      { what: "the volume serves or ends" },
    );
    if (status === true) {
      expect(await volume.exited).toBe(1);
      expect(volume.stderr).toMatch(/^[^\n]*(socket|temporary)[^\n]*\n$/);
      return;
    }
    await volume.end();
    expect(status).toBe(204);
  },
);
