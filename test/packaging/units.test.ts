// The units in packaging/: shut in well by systemd's own judgement, and true to the program.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { startCluster } from "../support/cluster";
import { keyFile, newKey } from "../support/link-key";
import { mkv, runMkv } from "../support/master";
import { basic } from "../support/password";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
const fileOf = (name: string) => join(CHECKOUT, "packaging", name);
const linesOf = (name: string) => readFileSync(fileOf(name), "utf8").split("\n");
const daemons = ["mkv-volume.service", "mkv-master.service"];
const jobs = ["mkv-verify.service", "mkv-backup.service"];
const units = [...daemons, ...jobs];

const hasSystemd = Bun.which("systemd-analyze") !== null;
if (!hasSystemd) console.log("skipped: what systemd thinks of the units (systemd-analyze is not installed)");
const testBySystemd = test.skipIf(!hasSystemd);

testBySystemd.each(units)("systemd finds %s OK or better, and understands every line of it", (name) => {
  const judged = Bun.spawnSync(["systemd-analyze", "security", "--offline=true", "--no-pager", fileOf(name)]);
  const [, exposure] = /Overall exposure level for \S+: (\d+\.\d+)/.exec(judged.stdout.toString()) ?? [];
  expect(Number(exposure)).toBeLessThanOrEqual(2);
  expect(judged.stderr.toString()).toBe("");
  const verified = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", fileOf(name)]).stderr.toString();
  const about = verified.split("\n").filter((line) => line.includes(name) && !line.includes("is not executable"));
  expect(about).toEqual([]); // The program is not installed where tests run.
});

testBySystemd.each(["mkv-verify.timer", "mkv-backup.timer"])("systemd understands every line of %s", (name) => {
  const verified = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", fileOf(name)]).stderr.toString();
  expect(verified.split("\n").filter((line) => line.includes(name))).toEqual([]);
});

testBySystemd("the user of the units is made by the sysusers file", async () => {
  await using root = temporaryFolder();
  mkdirSync(join(root.path, "etc"));
  const { exitCode, stderr } = Bun.spawnSync(["systemd-sysusers", `--root=${root.path}`, fileOf("mkv.sysusers")]);
  expect([exitCode, stderr.toString()]).toEqual([0, expect.any(String)]);
  const [user] = readFileSync(join(root.path, "etc/passwd"), "utf8").split("\n");
  expect(user).toMatch(/^mkv:x:\d+:\d+:mkv:\/var\/lib\/mkv:\/usr\/sbin\/nologin$/);
  for (const unit of units) expect(linesOf(unit)).toContain("User=mkv");
});

test.each(units)("%s is shut in by name", (name) => {
  const wanted = ["NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "LimitNOFILE=65536"];
  expect(linesOf(name)).toEqual(expect.arrayContaining(wanted));
  expect(linesOf(name).filter((line) => /^UMask=00[27]7$/.test(line)).length).toBe(1);
});

test("what the units start is a command of the program", async () => {
  for (const name of daemons) {
    const [, line] = linesOf(name)
      .join("\n")
      .match(/^ExecStart=\/usr\/local\/bin\/mkv (.*)$/m)!;
    const [command] = line!.split(" ").filter((word) => word === "server" || word === "volume");
    expect(await runMkv([command!, "--help"])).toMatchObject({ exitCode: 0 });
  }
  expect(linesOf("mkv-master.service")).toContain("StateDirectoryMode=0700");
  expect(linesOf("mkv-volume.service")).toContain("KillMode=mixed"); // SIGTERM to nginx would end transfers at once.
});

/** Runs what a unit starts, as systemd would. */
async function runUnit(name: string, env: Record<string, string>) {
  const [, started] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(linesOf(name).join("\n"))!;
  const line = started!
    .replaceAll("\\\n", " ")
    .replaceAll("$$", "$")
    .replaceAll("%%", "%")
    .replaceAll("/usr/local/bin/mkv", mkv([]).join(" "));
  await using ran = Bun.spawn(["bash", "-ec", line], {
    env: { ...process.env, ...env },
    stderr: "pipe",
    stdout: "pipe",
  });
  return { exitCode: await ran.exited, stdout: await ran.stdout.text(), stderr: await ran.stderr.text() };
}

test("the units of jobs work through the master of their machine, and a backup that fails leaves the last one as it is", async () => {
  await using folder = temporaryFolder();
  const env = { MKV_BIND: "localhost", MKV_VERIFY_FLAGS: "-md5 -rate 50", MKV_BACKUP_DIR: folder.path };
  const saved = () => readdirSync(folder.path).filter((name) => /^index-[1-7]\.jsonl\.gz$/.test(name));
  const textOf = (name: string) => Buffer.from(Bun.gunzipSync(readFileSync(join(folder.path, name)))).toString();
  let port = "";
  {
    await using cluster = await startCluster();
    await cluster.store("/key");
    port = String(cluster.master.port);
    expect(await runUnit("mkv-verify.service", { ...env, MKV_PORT: port })).toMatchObject({ exitCode: 0 });
    expect(await runUnit("mkv-backup.service", { ...env, MKV_PORT: port })).toMatchObject({ exitCode: 0 });
    expect(saved().map(textOf)).toEqual([expect.stringContaining("/key")]);
    for (const MKV_BIND of ["127.0.0.2", "::1"]) {
      const MKV_PORT = String((await cluster.startMaster(["-bind", MKV_BIND])).port);
      for (const name of jobs)
        expect(await runUnit(name, { ...env, MKV_BIND, MKV_PORT })).toMatchObject({ exitCode: 0 });
    }
  }
  const before = saved().map(textOf);
  {
    await using lacking = await startCluster();
    await lacking.master.stop();
    await lacking.volumes[0]!.kill();
    await using master = await lacking.anotherMaster(undefined, { db: `${lacking.db}-new` });
    const { exitCode, stderr } = await runUnit("mkv-backup.service", { ...env, MKV_PORT: String(master.port) });
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("so may this backup: run rebuild")]);
    expect(readdirSync(folder.path).sort()).toEqual(["behind.jsonl.gz", ...saved()]);
  }
  for (const name of jobs) expect(await runUnit(name, { ...env, MKV_PORT: port })).toMatchObject({ exitCode: 1 });
  expect(saved().map(textOf)).toEqual(before);
});

test("with a link key and passwords the units of jobs need no more than the settings of the master", async () => {
  await using folder = temporaryFolder();
  const login = { user: "admin", password: "secret" };
  const LINK_KEY = keyFile(folder.path, { keys: [newKey()] });
  const env = { MKV_LINKKEY: LINK_KEY, MKV_BASICAUTH: "true", MKV_USERPASS: "admin:secret" };
  await using cluster = await startCluster({ login, volumeEnv: { LINK_KEY }, env });
  expect((await cluster.ask("PUT", "/key", { body: "x" })).status).toBe(401);
  expect((await cluster.ask("PUT", "/key", { body: "x", headers: { Authorization: basic(login) } })).status).toBe(201);
  const read = { ...env, MKV_BIND: "localhost", MKV_PORT: String(cluster.master.port), MKV_BACKUP_DIR: folder.path };
  for (const name of jobs) expect(await runUnit(name, read)).toMatchObject({ exitCode: 0 });
  for (const name of jobs) expect(await runUnit(name, { ...read, MKV_USERPASS: "" })).toMatchObject({ exitCode: 1 });
});
