// Owns the running of export and import from the command line: whose ledger it is, standard output and input, what is said
// at the end.
import { write } from "node:fs";
import { promisify } from "node:util";
import { MkvError, reasonOf } from "../errors";
import { exportTo, importFrom } from "../jobs/backup";
import { masterBackup } from "../jobs/master";
import { noCounts } from "../ledger/backup";
import { counted, print, say } from "../log";
import { backup } from "../store/backup";
import { type Config } from "./config";
import { ledgerAt } from "./ledgers";
import { noIndex } from "./open";
import { type Report, withProgress } from "./progress";

/** Writes a backup of the ledger to standard output. Throws MkvError failed if it is not whole. */
export async function runExport(config: Config): Promise<void> {
  const { source, userpass } = config;
  const kind = source.kind === "master" ? undefined : ledgerAt(config);
  const opened = await kind?.open({
    onMissing: () => Promise.reject(noIndex(kind)),
    seenEpochs: async () => undefined,
  });
  await using ledger = opened?.ledger;
  if (opened?.hasCrashed) opened.abandon(); // A master that comes next is to know of it.
  const { header, counts } = await withProgress("export", async (progress) => {
    const pieces = source.kind === "master" ? masterBackup(source.url, userpass) : backup(ledger!);
    return await exportTo(toStdout, { pieces, progress });
  });
  const { keys, unlinked, damaged, owing } = counts;
  const kinds = `${unlinked} unlinked, ${damaged} damaged, ${owing} with unfinished work`;
  say(
    `exported ${counted(keys, "key")}: ${kinds}; ${header.isConsistent ? "all as of one moment" : "not all as of one moment"}`,
  );
  if (header.isBehind)
    say("mkv: the index may lack what was acknowledged, and so may this backup: run rebuild, then export again");
}

/** Makes a ledger of the backup on standard input. Throws MkvError failed if it is not whole, or there is a ledger. */
export async function runImport(config: Config, report: Report): Promise<void> {
  const counts = Object.assign(report, noCounts());
  const kind = ledgerAt(config);
  if (process.stdin.isTTY)
    throw new MkvError("usage", "import reads a backup from standard input: mkv ... import < FILE");
  const { lack, ...found } = await withProgress("import", (progress) =>
    importFrom({ chunks: Bun.stdin.stream(), isLatest: config.latest, begin: kind.draft, progress }),
  );
  Object.assign(counts, found.counts);
  const { keys, unlinked, damaged, owing } = counts;
  if (lack) {
    say(
      `mkv: ${kind.shown} ${lack.why}: what was stored or deleted since then it does not know, so nothing is removed on its ` +
        'word; "mkv rebuild" finds what was stored',
    );
  }
  const unfinished = lack ? "unfinished work is left out" : `${owing} with unfinished work`;
  print(`imported ${counted(keys, "key")} into ${kind.shown}: ${unlinked} unlinked, ${damaged} damaged, ${unfinished}`);
}

const stdout = 1;

async function toStdout(piece: Uint8Array): Promise<void> {
  try {
    // Not by Bun.write, which writes some of it twice where standard output is appended to a file (mkv export >> FILE).
    for (let at = 0; at < piece.length;) {
      try {
        at += (await promisify(write)(stdout, piece, at)).bytesWritten;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        await Bun.sleep(10); // A pipe that whoever reads it has made non-blocking is full.
      }
    }
  } catch (error) {
    throw new MkvError("failed", `the backup cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
