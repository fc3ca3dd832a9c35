// Owns the comparison of every file on the volumes with the records: what none of them names is looked at again by the target,
// with the key claimed; and so is everything that is staged.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { keyAt } from "../format/path";
import { decodeRecord } from "../format/record";
import { limits } from "../limits";
import { retryBusy } from "../ledger/retry-busy";
import { damagedRecord } from "../store/find";
import { type OrphanLook } from "../store/orphan";
import { type Volumes } from "../volumes/volumes";
import { type Verify } from "./findings";
import { type Folder, type FoundFile } from "../volumes/folders";
import { files, folderNumber, folders, hashFolders, readable, stagedFolders } from "../volumes/folders";
import { type Pause, forEach } from "./pool";

/** Compares all files with the records, those in folders after this one. Returns whether all could be. */
export async function verifyAllFiles(job: Verify, after: string | undefined, pause: Pause<Folder>): Promise<boolean> {
  const { counts, progress } = job;
  try {
    const isSwept = job.repair && !job.task.dryRun;
    const sweep = isSwept ? (empty: Folder) => removeEmpty(job.volumes, empty) : undefined;
    const work = async (folder: Folder) => {
      for await (const page of files(job.volumes, folder, sweep)) await verifyFiles(job, page, "orphan");
      const share = (folderNumber(folder.path) + 1) / hashFolders;
      progress.at({ what: "file", done: counts.files, share });
    };
    await forEach(folders(job.volumes, { after }), limits.foldersAtOnce, work, pause);
    const workOnStaged = async (folder: Folder) => {
      for await (const page of files(job.volumes, folder)) await verifyFiles(job, page, "staged");
    };
    await forEach(stagedFolders(job.volumes), limits.foldersAtOnce, workOnStaged);
    return true;
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    counts.unknown++;
    progress.note(`the files were not all compared: ${error.message}`);
    return false;
  }
}

async function verifyFiles(job: Verify, page: readonly FoundFile[], place: OrphanLook["place"]): Promise<void> {
  for (let at = 0; at < page.length; at += limits.batchRecords) {
    const found = page.slice(at, at + limits.batchRecords).map(({ path, copies }) => {
      return { path, copies, key: keyAt(place === "staged" ? path.slice("/staged".length) : path) };
    });
    const keys = found.flatMap(({ key }) => key ?? []);
    const records = place === "staged" ? [] : await job.target.getAll(keys); // No record names what is staged.
    let next = 0;
    for (const { key, path, copies } of found) {
      job.counts.files += copies.length;
      const record = key && records[next++];
      if (record === damagedRecord) continue; // It was named; its files are nobody's orphans.
      const named = record === undefined ? [] : decodeRecord(record).volumes;
      for (const { volume } of copies)
        if (!named.includes(volume)) await verifyOrphan(job, { key, path, volume, place });
    }
  }
}

/** What became of a file, and what would become of it, where that is said otherwise; of `kept` it is said why. */
const lines = {
  orphan: {
    young: ["is in no record yet"],
    orphan: ["is in no record"],
    removed: ["is in no record: removed", "is in no record: it would be removed"],
    copy: ["is a copy that its record should name"],
    recorded: [
      "is a copy that its record lacked: it names it now",
      "is a copy that its record lacks: it would name it",
    ],
  },
  staged: {
    young: ["is of no replacement that is known yet"],
    orphan: ["is of no replacement"],
    removed: ["is of no replacement: removed", "is of no replacement: it would be removed"],
    copy: ["is the value of a key that lacks copies"],
    recorded: [
      "is the value of a key that lacked copies: it is in its place now",
      "is the value of a key that lacks copies: it would be brought to its place",
    ],
  },
};

async function verifyOrphan(
  job: Verify,
  { key, path, volume, place }: { key: Key | undefined; path: string; volume: string; place: OrphanLook["place"] },
): Promise<void> {
  const where = `${volume}${readable(path)}`;
  const { counts } = job;
  try {
    if (!key) {
      counts.orphans++;
      return job.progress.note(`${where}: is not where its name belongs`);
    }
    const { dryRun } = job.task;
    const how = { place, volume, repair: job.repair, remove: job.removeOrphans, dryRun };
    const { state, why } = await retryBusy(() => job.target.orphan(key, how), limits.busyMs);
    if (state === "accounted") return;
    counts.orphans++;
    if (state === "recorded" || state === "removed") counts.repaired++;
    const [done, would = done] = state === "kept" ? [why] : lines[place][state];
    job.progress.note(`${where}: ${dryRun ? would : done}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    counts.unknown++;
    job.progress.note(`${where}: could not be looked at: ${error.message}`);
  }
}

/** Has a folder removed from the volumes on which it is empty, as far as `mkv volume` runs there: nginx removes none. */
async function removeEmpty(all: Volumes, { path, volumes }: Folder): Promise<void> {
  for (const volume of volumes) {
    try {
      if (await all.hasSync(volume)) await all.sync(volume, path.slice(0, -1), { expected: "gone" });
    } catch (error) {
      if (!(error instanceof MkvError)) throw error; // It stays until the next time: nothing depends on it.
    }
  }
}
