// The Debian package: what is in it, and that it comes and goes without a trace but data. It is installed into a folder.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryFolder, type Folder } from "../support/folder";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
const program = process.env["MKV"] ?? process.execPath;
const hasDpkg = process.platform === "linux" && Bun.which("dpkg-deb") !== null;
if (!hasDpkg) console.log("skipped: the Debian package (dpkg-deb is not installed)");
const testByDpkg = test.skipIf(!hasDpkg);
const testByRoot = test.skipIf(!hasDpkg || process.getuid?.() !== 0);

let folder: Folder;
let root: string;
let deb: string;
beforeAll(async () => {
  folder = temporaryFolder();
  root = join(folder.path, "root");
  if (hasDpkg) deb = build(program).stdout.trim();
});
afterAll(() => folder[Symbol.asyncDispose]());

function run(command: string[], env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env: { ...process.env, ...env } });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

function build(binary: string, out = "out") {
  const env = { MKV_BIN: binary, DPKG_DEB_COMPRESSOR_TYPE: "none" };
  return run([join(CHECKOUT, "packaging/build-deb"), join(folder.path, out)], env);
}

/** Installs into a root of nothing but users. */
function install() {
  mkdirSync(join(root, "etc"), { recursive: true });
  for (const name of ["info", "updates"]) mkdirSync(join(root, "var/lib/dpkg", name), { recursive: true });
  writeFileSync(join(root, "var/lib/dpkg/status"), "");
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
  return dpkg("--force-depends", "--install", deb);
}

const dpkg = (...args: string[]) => run(["dpkg", `--root=${root}`, "--force-script-chrootless", ...args]);

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

const traces = () => filesIn(root).filter((path) => !/\/var\/lib\/dpkg\/|\/etc\/(passwd|group)-?$/.test(path));

testByDpkg("it holds program, units, user, man page and completions, with their modes, owned by root", () => {
  const lines = run(["dpkg-deb", "--contents", deb]).stdout.trimEnd().split("\n");
  const modes = Object.fromEntries(lines.map((line) => [line.split(/\s+/)[5], line.slice(0, 10)]));
  expect(modes).toMatchObject({
    "./usr/bin/mkv": "-rwxr-xr-x",
    ...Object.fromEntries(
      [
        "lib/systemd/system/mkv-volume.service",
        "lib/systemd/system/mkv-master.service",
        "lib/systemd/system/mkv-verify.timer",
        "lib/systemd/system/mkv-backup.timer",
        "lib/sysusers.d/mkv.conf",
        "share/man/man1/mkv.1.gz",
        "share/bash-completion/completions/mkv",
        "share/zsh/vendor-completions/_mkv",
        "share/fish/vendor_completions.d/mkv.fish",
        "share/doc/mkv/copyright",
        "share/doc/mkv/docs/page.png",
        "share/doc/mkv/packaging/prometheus/mkv.rules.yml",
        "share/doc/mkv/packaging/grafana/mkv.json",
      ].map((path) => [`./usr/${path}`, "-rw-r--r--"]),
    ),
  });
  expect(lines.filter((line) => !line.includes(" root/root "))).toEqual([]);
  const control = run(["dpkg-deb", "--field", deb]).stdout;
  expect(control).toMatch(/^Package: mkv$/m);
  expect(control).toMatch(/^Recommends: nginx$/m);
});

testByDpkg("the program says for which architecture the package is, and what is none is refused", () => {
  const header = Buffer.from(readFileSync(process.execPath).subarray(0, 64));
  const file = join(folder.path, "program");
  header.writeUInt16LE(0xb7, 18);
  writeFileSync(file, header);
  expect(build(file, "other").stdout).toEndWith("/mkv_arm64.deb\n");
  header.writeUInt16LE(0x3e, 18);
  writeFileSync(file, header);
  const amd64 = build(file, "other").stdout.trim();
  expect(run(["dpkg-deb", "--field", amd64, "Architecture"]).stdout).toBe("amd64\n");
  writeFileSync(file, "#!/bin/sh\n");
  expect(build(file, "other")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^build-deb: .* x64 or arm64\n$/),
  });
});

testByRoot("installed, it has made the user, starts what is there, and has enabled nothing", async () => {
  expect(install()).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(/^mkv:.*:\/var\/lib\/mkv:\/usr\/sbin\/nologin$/m);
  expect(lstatSync(join(root, "etc/mkv")).mode & 0o777).toBe(0o750);
  for (const unit of ["mkv-volume", "mkv-master", "mkv-verify", "mkv-backup"]) {
    const text = readFileSync(join(root, `usr/lib/systemd/system/${unit}.service`), "utf8");
    const [started] = /\/usr\S*\/mkv(?= )/m.exec(text)!;
    expect(existsSync(join(root, started))).toBe(true);
  }
  expect(existsSync(join(root, "etc/systemd"))).toBe(false);
  if (process.env["MKV"])
    expect(run([join(root, "usr/bin/mkv"), "version"]).stdout).toBe(run([program, "version"]).stdout);
});

testByRoot("purged, it leaves data and their user alone, and says so; without data nothing stays", () => {
  for (const place of ["srv/mkv/sv00", "var/lib/mkv-backup"]) {
    const kept = join(root, place, "kept");
    mkdirSync(join(root, place), { recursive: true });
    writeFileSync(kept, "value");
    const purged = dpkg("--purge", "mkv");
    expect(purged).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("left as they are") });
    expect(traces()).toEqual([kept]);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toContain("mkv:");
    root = join(folder.path, `after ${basename(place)}`);
    install();
  }
  expect(dpkg("--purge", "mkv")).toMatchObject({ exitCode: 0 });
  expect(traces()).toEqual([]);
  for (const name of ["passwd", "group"]) expect(readFileSync(join(root, "etc", name), "utf8")).not.toContain("mkv");
});
