// The units in packaging/: shut in well by systemd's own judgement, and true to the program.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { runMkv } from "../support/master";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
const fileOf = (name: string) => join(CHECKOUT, "packaging", name);
const linesOf = (name: string) => readFileSync(fileOf(name), "utf8").split("\n");
const units = ["mkv-volume.service", "mkv-master.service"];

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
  for (const name of units) {
    const [, line] = linesOf(name)
      .join("\n")
      .match(/^ExecStart=\/usr\/local\/bin\/mkv (.*)$/m)!;
    const [command] = line!.split(" ").filter((word) => word === "server" || word === "volume");
    expect(await runMkv([command!, "--help"])).toMatchObject({ exitCode: 0 });
  }
  expect(linesOf("mkv-master.service")).toContain("StateDirectoryMode=0700");
  expect(linesOf("mkv-volume.service")).toContain("KillMode=mixed"); // SIGTERM to nginx would end transfers at once.
});
