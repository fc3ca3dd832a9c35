// A volume that is started by root: what root does there, and what the user who serves it cannot make root do.
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { mkv } from "../support/master";
import { freePort } from "../support/ports";
import { RunningProcess } from "../support/process";
import { whyNoDisk } from "../support/disk";
import { until } from "../support/until";
import { CHECKOUT, startVolume } from "../support/volume";
import { startMkvVolume } from "../durability/mkv-volume";

setDefaultTimeout(30_000);
const why = whyNoDisk();
if (why) console.log(`skipped: volumes that root starts (${why})`);
const testAsRoot = test.skipIf(why !== undefined);

const NOBODY = 65534;
const VALUE = "/sv00/ab/cd/value";
const script = join(CHECKOUT, "volume");
const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
const starters: [string, (dir: string) => string[]][] = [
  ["./volume", (dir) => [script, dir]],
  ["mkv volume", (dir) => mkv(["volume", dir])],
];

const run = (...words: string[]) => expect(Bun.spawnSync(words).exitCode).toBe(0);
const ownerOf = (path: string) => statSync(path).uid;
const nobodys = (...paths: string[]) => paths.forEach((path) => (mkdirSync(path), chownSync(path, NOBODY, NOBODY)));

/** Runs a volume that should refuse to start; what it says, or that it listens. */
async function refusal(command: string[], env: Record<string, string> = {}): Promise<string> {
  const port = String(await freePort());
  await using process = new RunningProcess({ command, env: { PORT: port, ...env } });
  await until(() => process.ended || process.stderr.includes("listening"), { what: "it ends or listens" });
  process.children();
  return process.ended ? `${await process.exited}: ${process.stderr}` : process.stderr;
}

testAsRoot.each(starters)("%s: a fresh folder is handed to nobody, who runs all of nginx", async (name) => {
  await using volume = await (name === "./volume" ? startVolume() : startMkvVolume());
  expect((await request(volume.port, { method: "PUT", target: VALUE, body: "x" })).status).toBe(201);
  expect([ownerOf(volume.dir), ownerOf(join(volume.dir, VALUE))]).toEqual([NOBODY, NOBODY]);
  const pids = name === "./volume" ? volume.processes() : (volume as { nginx(): number[] } & typeof volume).nginx();
  expect(pids.length).toBeGreaterThan(1);
  for (const pid of pids) expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^Uid:(\s+65534){4}$/m);
});

testAsRoot(
  "configuration, process number and sockets are where nobody else may enter, and gone at the end",
  async () => {
    await using volume = await startMkvVolume();
    const [name] = volume.runFolders();
    const folder = join(volume.temporary, name!);
    expect([statSync(folder).mode & 0o777, ownerOf(folder)]).toEqual([0o700, NOBODY]);
    expect(statSync(join(folder, "nginx.conf")).mode & 0o777).toBe(0o600);
    expect([statSync(join(folder, "service")).mode & 0o777, ownerOf(join(folder, "service"))]).toEqual([0o600, NOBODY]);
    expect(readdirSync(join(volume.dir, ".mkv"))).toEqual(["body"]);
    expect(await volume.stop()).toBe(0);
    expect(volume.runFolders()).toEqual([]);
  },
);

testAsRoot.each(starters)(
  "%s: a link of the owner's to somebody else's folder is refused, and that is left alone",
  async (_, start) => {
    await using folder = temporaryFolder();
    const [dir, theirs] = [join(folder.path, "volume"), join(folder.path, "theirs")];
    nobodys(dir);
    for (const content of [[], ["secret"]]) {
      mkdirSync(theirs, { recursive: true });
      for (const file of content) writeFileSync(join(theirs, file), file);
      if (!existsSync(join(dir, "sv00"))) symlinkSync(theirs, join(dir, "sv00"));
      expect(await refusal(start(dir))).toMatch(/^1: volume: [^\n]*sv00 is [^\n]*\n$/);
      expect(ownerOf(theirs)).toBe(0);
    }
  },
);

testAsRoot("what the owner puts in the place of nginx's own folders while it starts is not handed over", async () => {
  await using folder = temporaryFolder();
  const [dir, theirs] = [join(folder.path, "volume"), join(folder.path, "theirs")];
  nobodys(dir);
  mkdirSync(theirs);
  const attack = 'cd "$0"; while :; do ln -s "$1" .mkv/body || rmdir .mkv/body; done 2>/dev/null';
  await using _attacker = new RunningProcess({ command: [...asNobody, "sh", "-c", attack, dir, theirs] });
  for (let times = 0; times < 3; times++) {
    await refusal([script, dir]); // It may start, or fail.
    expect(ownerOf(theirs)).toBe(0);
  }
});

testAsRoot.each(starters)(
  "%s: an empty folder of root's that is no mount point asks for its disk",
  async (_, start) => {
    await using folder = temporaryFolder();
    const dir = join(folder.path, "volume");
    for (const owner of [0, NOBODY]) {
      mkdirSync(join(dir, "sv01"), { recursive: true });
      chownSync(dir, owner, owner);
      const question = `is its disk mounted? (mount ${dir}/sv01)`;
      expect(await refusal(start(dir))).toBe(`1: volume: ${dir}/sv01 is empty and belongs to root: ${question}\n`);
      expect([ownerOf(dir), ownerOf(join(dir, "sv01"))]).toEqual([owner, 0]);
    }
    expect(await refusal([...asNobody, script, dir], { TMPDIR: "/tmp" })).toMatch(/is its disk mounted/);
  },
);

testAsRoot(
  "a fresh disk that is mounted is handed over with a folder of root's, and asked for when it is missing",
  async () => {
    await using folder = temporaryFolder();
    const dir = join(folder.path, "volume");
    mkdirSync(join(dir, "sv00"), { recursive: true });
    run("mount", "-t", "tmpfs", "-o", "size=1000000,mode=755", "tmpfs", join(dir, "sv00"));
    try {
      await using volume = await startVolume({ dir });
      expect((await request(volume.port, { method: "PUT", target: VALUE, body: "x" })).status).toBe(201);
      expect(ownerOf(join(dir, "sv00"))).toBe(NOBODY);
      await volume.stop();
    } finally {
      run("umount", "-l", join(dir, "sv00"));
    }
    expect(await refusal([script, dir])).toMatch(
      /^1: volume: [^\n]*sv00 is empty and belongs to root: is its disk mounted\?/,
    );
  },
);

testAsRoot("an empty folder of root's that is to be a mount point by fstab is not handed over", async () => {
  await using folder = temporaryFolder();
  const [dir, fstab] = [join(folder.path, "volume"), join(folder.path, "fstab")];
  mkdirSync(dir);
  writeFileSync(fstab, `# disks\n/dev/sdb1 ${dir} xfs noatime 0 2\n`);
  const inside = ["unshare", "-m", "sh", "-c", 'touch /etc/fstab; mount --bind "$0" /etc/fstab; exec "$@"', fstab];
  expect(await refusal([...inside, script, dir])).toMatch(/is its disk mounted\? \(mount/);
  expect(ownerOf(dir)).toBe(0);
});

testAsRoot.each(starters)(
  "%s: root hands nothing over where somebody else could put another folder in its place",
  async (_, start) => {
    await using folder = temporaryFolder();
    const [theirs, dir] = [join(folder.path, "theirs"), join(folder.path, "theirs/volume")];
    nobodys(theirs);
    mkdirSync(dir);
    expect(await refusal(start(dir))).toMatch(
      /^1: volume: nobody cannot write to [^\n]*volume: chown nobody [^\n]*\n$/,
    );
    expect(ownerOf(dir)).toBe(0);
  },
);

testAsRoot("a folder of root's with files in it, in a folder of somebody else's, is not handed over", async () => {
  await using folder = temporaryFolder();
  const dir = join(folder.path, "volume");
  nobodys(dir);
  mkdirSync(join(dir, "sv00/ab"), { recursive: true });
  expect(await refusal([script, dir])).toMatch(/^1: volume: nobody cannot write to [^\n]*sv00: chown nobody [^\n]*\n$/);
  expect(ownerOf(join(dir, "sv00"))).toBe(0);
});

testAsRoot("what root has put back with cp -r is refused in one line that says what to do", async () => {
  await using folder = temporaryFolder();
  const dir = join(folder.path, "volume");
  nobodys(dir);
  mkdirSync(join(dir, ".mkv/body"), { recursive: true });
  expect(await refusal([script, dir])).toMatch(
    /^1: volume: nobody cannot remove [^\n]*\.mkv: was it put back by root\? \(chown -R nobody [^\n]*\)\n$/,
  );
});

testAsRoot("a port below 1024 is served too", async () => {
  await using folder = temporaryFolder();
  const dir = join(folder.path, "volume");
  const said = await refusal([script, dir], { PORT: "997", BIND: "127.0.0.77", TMPDIR: "/tmp" });
  expect(said).toMatch(/^volume: listening on port 997/);
});
