// A backup is whole wherever its standard output goes: also where writing to that comes in parts, or has to wait.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { mkv } from "../support/master";
import { RunningProcess } from "../support/process";
import { writeRecords } from "../support/records";

setDefaultTimeout(60_000);

/** Runs the words before the rest of its arguments with a standard output that does not wait, as a reader may have made it. */
const nonBlocking = "perl -MFcntl -e 'fcntl(STDOUT, F_SETFL, O_NONBLOCK) or die; exec @ARGV or die'";

test("a backup is the same in a file, appended to one, and in a pipe that is full and does not block", async () => {
  await using folder = temporaryFolder();
  const db = join(folder.path, "index");
  const count = 20_000;
  await writeRecords(
    db,
    Array.from({ length: count }, (_, i) => [`/key-${i}`, "localhost:1/sv00"]),
  );
  const program = mkv(["-db", db, "export"])
    .map((word) => `'${word}'`)
    .join(" ");
  const ways = [
    `${program} >file`,
    `echo before >appended; ${program} >>appended`,
    `${nonBlocking} ${program} | { sleep 1; cat >piped; }`, // A pipe takes 64 kB: it is full when it is read.
  ];
  for (const way of ways) {
    await using ran = Bun.spawn(["bash", "-o", "pipefail", "-ec", way], { cwd: folder.path, stderr: "pipe" });
    const said = await ran.stderr.text();
    expect([way, await ran.exited, said]).toEqual([way, 0, expect.stringContaining(`exported ${count} keys`)]);
  }
  const textOf = (name: string) => readFileSync(join(folder.path, name), "utf8");
  const keysIn = (text: string) => text.split("\n").slice(1, -2); // The first line has the time, and the last the sum of all.
  const plain = keysIn(textOf("file"));
  expect(plain.length).toBe(count);
  expect(textOf("appended")).toStartWith("before\n");
  expect(keysIn(textOf("appended").replace("before\n", ""))).toEqual(plain);
  expect(keysIn(textOf("piped"))).toEqual(plain);
});

test("an export that cannot be written has failed, and says why; what nobody can be told stops no command", async () => {
  await using folder = temporaryFolder();
  const db = join(folder.path, "index");
  await writeRecords(db, [["/key", "localhost:1/sv00"]]);
  const full = (...args: string[]) => ["bash", "-c", '"$0" "$@" >/dev/full', ...mkv(args)];
  await using exported = new RunningProcess({ command: full("-db", db, "export") });
  expect([await exported.exited, exported.stderr]).toEqual([
    1,
    expect.stringMatching(/^mkv: the backup cannot be written: ENOSPC[^\n]*\n$/),
  ]);
  await using version = new RunningProcess({ command: full("version") });
  expect([await version.exited, version.stderr]).toEqual([0, ""]);
});

test("an import does not wait for somebody to type a backup", async () => {
  const words = mkv(["-db", "/tmp/none", "import"]).map((word) => `'${word}'`);
  await using terminal = new RunningProcess({ command: ["script", "-qec", words.join(" "), "/dev/null"] });
  expect([await terminal.exited, terminal.stdout.trim()]).toEqual([
    2,
    "mkv: import reads a backup from standard input: mkv ... import < FILE",
  ]);
});
