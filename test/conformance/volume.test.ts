import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { filesOn, remainsOn } from "../support/files";
import { dial, head, request } from "../support/http";
import { mkv } from "../support/master";
import { basic, passwordFile } from "../support/password";
import { freePort } from "../support/ports";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { startVolume } from "../support/volume";

setDefaultTimeout(30_000);
const PATH = "/sv00/5d/41/aGVsbG8=";

test("a volume stores, serves, lists and removes values, in part too", async () => {
  await using volume = await startVolume();
  const ask = (method: string, target: string, more = {}) => request(volume.port, { method, target, ...more });
  expect((await ask("GET", "/")).text.replaceAll(/\s/g, "")).toBe("[]");
  const value = valueOf("volume", 2_000_000);
  expect((await ask("PUT", PATH, { body: value })).status).toBe(201);
  expect((await ask("PUT", PATH, { body: value, chunkBytes: 70_000 })).status).toBe(204);
  expect((await ask("GET", PATH)).body.equals(value)).toBe(true);
  expect((await ask("GET", PATH, { headers: { Range: "bytes=5-9" } })).body.equals(value.subarray(5, 10))).toBe(true);
  expect(JSON.parse((await ask("GET", "/sv00/5d/41/")).text)).toMatchObject([
    { name: "aGVsbG8=", type: "file", size: 2_000_000 },
  ]);
  expect(statSync(filesOn(volume.dir)[0]!.file).mode & 0o777).toBe(0o664);
  expect((await ask("DELETE", PATH)).status).toBe(204);
  expect((await ask("GET", PATH)).status).toBe(404);
});

test("nobody deletes a whole disk by mistake", async () => {
  await using volume = await startVolume();
  await request(volume.port, { method: "PUT", target: PATH, body: "value" });
  const answer = await request(volume.port, { method: "DELETE", target: "/sv00/" });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect((await request(volume.port, { target: PATH })).text).toBe("value");
});

test("the date of a PUT becomes the time of the file", async () => {
  await using volume = await startVolume();
  const date = "Mon, 02 Jan 2006 15:04:05 GMT";
  await request(volume.port, { method: "PUT", target: PATH, body: "value", headers: { Date: date } });
  expect((await request(volume.port, { method: "HEAD", target: PATH })).headers.get("last-modified")).toBe(date);
});

test("with AUTH a volume answers nobody without the password", async () => {
  await using folder = temporaryFolder();
  const login = { user: "admin", password: "secret" };
  await using volume = await startVolume({ auth: passwordFile(folder.path, login) });
  for (const method of ["GET", "HEAD", "PUT", "DELETE"]) {
    expect((await request(volume.port, { method, target: PATH, body: "x" })).status).toBe(401);
  }
  const headers = { Authorization: basic(login) };
  expect((await request(volume.port, { method: "PUT", target: PATH, body: "x", headers })).status).toBe(201);
});

test("an upload that a power cut ended shows nowhere, and takes no room after the restart", async () => {
  await using volume = await startVolume();
  using wire = await dial(volume.port);
  wire.write(head({ method: "PUT", target: PATH, headers: { "Content-Length": "1000000" } }, { close: true }));
  wire.write(valueOf("half", 500_000));
  await until(() => remainsOn(volume.dir).length === 1, { what: "the upload has begun" });
  expect(filesOn(volume.dir)).toEqual([]);
  await volume.kill();
  await volume.restart();
  expect(remainsOn(volume.dir)).toEqual([]);
});

test("values that lie there already are served, on disks of their own as well", async () => {
  await using folder = temporaryFolder();
  const dir = join(folder.path, "old");
  mkdirSync(join(dir, "sv00/5d/41"), { recursive: true });
  writeFileSync(join(dir, PATH), "from before");
  await using volume = await startVolume({ dir });
  expect((await request(volume.port, { target: PATH })).text).toBe("from before");
});

test("mkv volume runs the script that the binary carries, and ends it when it ends", async () => {
  await using folder = temporaryFolder();
  const port = await freePort();
  await using process = new RunningProcess({
    command: mkv(["volume", join(folder.path, "v")]),
    env: { PORT: String(port) },
    cwd: "/",
  });
  const put = () =>
    request(port, { method: "PUT", target: PATH, body: "x" }).then(
      ({ status }) => status,
      () => 0,
    );
  expect(await until(put, { what: "the volume answers" })).toBe(201);
  await process.end("SIGTERM");
  await until(async () => (await put()) === 0, { what: "nothing listens there any more" });
});

test("mkv volume without a folder is one line and exit code 2", async () => {
  await using process = new RunningProcess({ command: mkv(["volume"]) });
  expect(await process.exited).toBe(2);
  expect(process.stderr).toMatch(/^[^\n]{10,}\n$/);
});

test("mkv volume without bash on the PATH says what it needs", async () => {
  await using process = new RunningProcess({ command: mkv(["volume", "/tmp/none"]), env: { PATH: "/nowhere" } });
  expect(await process.exited).toBe(1);
  expect(process.stderr).toBe("mkv: bash is not installed: the volume script needs it\n");
});
