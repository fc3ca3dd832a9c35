// Owns the bounds: everything that could grow or last has one here, with its unit in its name. What each is for stands behind it.
export const limits = {
  // Keys, and the process.
  keyBytes: 1024, // Longest key: its path still fits every file system.
  threads: 64, // Threads of a process, at most.
  drainMs: 60_000, // Requests that still run so long after SIGTERM are cut off.

  // Lists and other long answers.
  listKeys: 1_000_000, // Most keys that a list without `limit` answers.
  listTextBytes: 256 * 1024 * 1024, // Most text of one list: with `limit` the page ends early, without it is refused.
  listsAtOnce: 4, // Lists that are gathered at once; further ones wait.
  pageKeys: 1000, // A page with a `limit` of so many keys does not wait,
  pageRecords: 20_000, // as long as it has read no more records than this.
  sendingBytes: 384 * 1024 * 1024, // Memory of a thread for lists that are gathered or still being sent; more get 503.
  pagesBytes: 128 * 1024 * 1024, // The same for such pages.
  shortAnswerBytes: 64 * 1024, // A list of no more bytes goes out at once, and counts no longer: Bun keeps it until it is read.
  slowReaderMs: 30_000, // A client has so long for each piece of an answer,
  slowReaderBytes: 64 * 1024, // and a second more for each so many bytes of it.
  exportsAtOnce: 2, // Backups that a thread sends at once.

  // Clients.
  idleSeconds: 90, // An idle connection is given up after this: longer than load balancers keep theirs.
  tricklingBytes: 1024, // One that sends less than this in the time of `-clienttimeout` counts as silent.
  lingerMs: 5000, // One whose value was refused may go on sending for so long,
  lingerSilenceMs: 1000, // with pauses of so long, before it is cut off.
  reservedFiles: 64, // Open files kept for journal, index and volumes, at least,
  reservedShare: 0.3, // and as a share of all.
  filesMs: 100, // How often it is looked how many are open;
  filesFreshMs: 5, // how long that holds for PUTs.
  shedMs: 3000, // Idle clients are closed when others have been refused for so long,
  relaxedShare: 0.9, // until this share of the bound is left.
  crowdedLogMs: 60_000, // That clients are refused is said so often.
  authMs: 60_000, // Good credentials are remembered for so long,
  refusedMs: 10_000, // refused ones for so long,
  authEntries: 1000, // no more than so many of each.
  authBytes: 4096, // Longest credentials.
  guessesFree: 5, // An address may be wrong so often;
  guessPauseMs: 250, // each further guess waits longer by so much,
  longestGuessPauseMs: 5000, // up to so long,
  guessesWaiting: 100, // behind so many others at most.
  guesserMs: 600_000, // What an address guessed is forgotten after so long.

  // Operators.
  readyMs: 1000, // The ledger has so long to say that it is there.
  watchMs: 500, // How often volumes and jobs are looked at.
  jobQuietMs: 30_000, // A job through a master that asks nothing for so long has ended.
  samples: 360, // The last hour is kept as so many samples,
  sampleMs: 10_000, // one every so often.

  // What is believed of volumes.
  freshMs: 1000, // An answer proves for so long that a volume is there (health) and that it holds a file (GET).
  probeMs: 500, // How often the health of the volumes is looked after.
  patienceMs: 3000, // A write that runs short of volumes waits so long for a sign of life from those that are down.
  settleMs: 2000, // A volume that fell silent is not written to for so long after it answers again.
  fullMs: 30_000, // A disk that refused a write is left alone for so long.
  fenceMs: 5000, // A change may begin at a volume for so long after it was sent, by its clock, of which it sees the seconds.
  fenceOverMs: 6500, // A change that was sent so long ago can begin no more: with the grain of a second, and some drift.
  clockMs: 10_000, // A volume's clock is asked again after so long;
  clockOffMs: 2000, // it was set if it differs by so much from what was believed.
  meetMs: 50, // How often it is looked who has come back, to ask who it is;
  identityMs: 30_000, // how often all are asked that,
  compareMs: 5_000, // and how far they have seen the store come.
  firstLookMs: 2000, // At a start they have so long to say that they are there, and who they are.
  placesAtOnce: 4, // Disks of a server that are asked who they are at once.
  idsKnown: 100_000, // Places whose ids are remembered, to know two names of one.
  strangers: 1000, // Servers that are not configured and whose clocks are remembered.
  namesCounted: 10_000, // Volumes, disks and servers whose requests a thread counts.
  disksEveryMs: 5000, // How often volumes are asked about their disks;
  disksMs: 4000, // how long they may take for the answer,
  disksBytes: 8 * 1024 * 1024, // and its length.
  disksShown: 1024, // A volume with more disks is shown as one.
  disksWatched: 64, // So many are watched, though -subvolumes names fewer by now.
  noRoomBytes: 1024 * 1024, // With less room a disk is full.

  // Requests to volumes.
  hedgeMs: 100, // A GET that waits for so long asks the next volume as well.
  confirmMs: 10_000, // Longest wait for a volume to confirm a DELETE or a whole PUT, or to tell a rebuild who it is.
  syncMs: 60_000, // Longest wait for it to sync a value;
  syncPauseMs: 50, // first pause before a busy one is asked again;
  syncKnownMs: 10_000, // how long it counts as able to.
  listingMs: 300_000, // Longest wait for a listing to begin: all of it is read first.
  listingLineBytes: 8192, // Longest line of one.
  foldersLookedInto: 100, // Folders that are looked into for a file that is in the way.
  warmUpMs: 500, // Longest wait until `fetch` is ready.
  gatheredBytes: 256 * 1024, // So much, about, comes in of all bodies of a thread while volumes take what came before,
  gatheredChunks: 64, // in so many chunks of each.
  shortBytes: 128 * 1024, // Longest value that goes to a volume as a short request.
  links: 20_000, // Signatures of files that are remembered.
  seenFiles: 100_000, // Files that are remembered as just seen.
  volumeRequests: 16_384, // Requests that all threads together have under way; further ones wait in `fetch`.
  headBytes: 64 * 1024, // Longest head of an answer.
  connectionsForQuestions: 32, // Connections to a server that all questions of a thread share;
  questionsAtOnce: 8, // questions that one takes in a turn of the loop.
  quietMs: 100, // A connection that was silent for so long
  renewMs: 1000, // has so long to answer.
  keptMs: 5000, // One that is not used is closed after so long;
  keepAliveMs: 15_000, // the system asks after it so often.
  addressMs: 500, // Addresses of servers are looked up so often,
  longLookupMs: 1000, // but where a lookup took so long
  lookupPause: 10, // not for so many times as long.
  namesKeptMs: 31_000, // Bun keeps an address for so long.

  // The ledger over LevelDB.
  scanKeys: 2000, // Records that one step of a scan reads, at most,
  scanBytes: 256 * 1024, // and their bytes, about.
  batchRecords: 1000, // Records that one write of a job puts, or that are asked for at once.
  indexCacheBytes: 32 * 1024 * 1024, // LevelDB's cache of blocks.
  indexBufferBytes: 8 * 1024 * 1024, // Its memtable, of which there may be two.
  indexFileBytes: 8 * 1024 * 1024, // Length of its files: longer ones make writes wait for seconds.
  indexFiles: 10_000, // So many it keeps open, with their filters: 80 GB of keys.
  indexFilesMs: 20_000, // A write that finds no file to open is tried again for so long,
  indexPauseMs: 200, // with pauses of so long.
  journalBytes: 1024 * 1024, // The journal is rewritten without debts that are paid at this length, or at twice what is outstanding.
  tidyMs: 200, // That a debt is paid is written to it after so long, if no other line takes it along.
  reachedMs: 2000, // How far it has come is noted so often.
  runsRemembered: 100, // Times at which the index was closed, by its MANIFEST.
  tablesRemembered: 100, // Files of the index as it was last.
  unsyncedMs: 120_000, // What a system leaves in memory is on its disk after so long.
  lockGroups: 4096, // Keys that can be locked at once: groups,
  locksOfGroup: 15, // and keys of each.

  // Keys that are being changed, and what they owe.
  busyPauseMs: 100, // A request that finds its key busy tries once more after so long,
  busyMs: 1000, // a job after longer pauses, up to so long.
  datesAheadMs: 10_000, // The dates of writes may be ahead of the clock by so much: no two writes of a key are of one second.
  datesReserved: 5, // So many seconds of that are remembered at once,
  slotsRemembered: 1000, // of so many slots each for itself.
  dateSlots: 65_536, // Keys that have a slot of their own for the second of their last write.
  forwardMs: 60_000, // A replacement that is committed waits so long for its volumes, before it ends with those that are there.
  readersMs: 10_000, // Readers that were sent to an old copy come for it within so long.
  debts: 100_000, // Keys whose unfinished work waits for a volume; more are not begun.
  debtsWithMoves: 80_000, // With so many, moves wait.
  paidAtOnce: 16, // Keys whose debts are paid at once.
  zerosAtOnce: 4 * 1024 * 1024, // Bytes that are hashed before clients have a turn.
  upBeforeMs: 10_000, // A volume was up for so long before a move if it is to have lost nothing of that.
  unheardMs: 5_000, // A server that nobody has heard of for so long may have lost power meanwhile.
  proofsAtOnce: 4, // Such copies that a thread reads at once.
  proofBytes: 200_000_000, // So much a second is read of copies on the strength of which others go.
  longestPauseMs: 300_000, // What a volume answers and does not remove is tried again ever more rarely, at least so often.
  waitingLogMs: 60_000, // Why a volume is waited for is said so often at most.

  // Jobs.
  foldersAtOnce: 32, // Folders that all threads of a rebuild list at once.
  movesAtOnce: 32, // Keys that a rebalance moves at once,
  pacedMovesAtOnce: 4, // and with a rate through a master.
  keysNamed: 5, // Keys without a copy that a rebuild names.
  triedAgain: 100_000, // Keys that a job tries again at its end;
  triedAgainRemembered: 1000, // with more than so many, where the job is is not written down.
  cursorMs: 2000, // How often a job writes down where it is;
  cursorKeptMs: 24 * 3_600_000, // for how long it goes on from there.
  progressMs: 5000, // How often it says how far it is, but on a terminal.
  jobRequestMs: 3_600_000, // Longest wait for a master to move one key, whose value may be large,
  statusMs: 10_000, // and to say how it is.
  jobBodyBytes: 8 * 1024 * 1024, // Longest body of a job's request;
  jobBodyMs: 30_000, // how long it may take to come;
  jobBodiesBytes: 64 * 1024 * 1024, // memory of a thread for those: more get 503.
  backupLineBytes: 1024 * 1024, // Longest line of a backup;
  rememberedInBackup: 1_000_000, // what one may remember beside the keys.

  // What heals by itself.
  hints: 1_000_000, // Keys that are remembered as to be brought home; more wait for a rebalance.
  told: 10_000, // Keys that readers of a thread have told of,
  toldMs: 60_000, // and for how long that is remembered.
  healsAtOnce: 4, // Keys that are healed at once,
  healedKeys: 500, // and that are looked at a second, at most.
  healPauseMs: 1000, // A round over the keys to be healed is followed by a pause of so long,
  healPauses: 20, // or of so many times what it took.
  hintsAtOnce: 20, // So many keys are looked at without a pause, whether they can be healed.
  healAgainMs: 3_600_000, // A key that fails is tried again ever more rarely, at least so often;
  retries: 10_000, // of so many it is known when.
  careLogMs: 60_000, // What heals or scrubs says how far it is so often, at most.
  walkNoteMs: 2000, // A walk over all keys writes down how far it is so often;
  walkTurnMs: 5000, // one whose note stays the same for so long has died.
  scrubBytes: 50e6, // Bytes a second that a scrub reads, at most,
  scrubLate: 0.05, // unless it is late by more than this share of its time;
  scrubLateTimes: 4, // then it goes at most so many times as fast as it would have to on average.
  scrubEmptyMs: 60_000, // A store without keys is looked at again after so long.
  loadedMs: 50, // A thread that is late by so much serves clients first: work in the background makes
  loadedPauseMs: 200, // pauses of so long,
  loadedPauses: 3, // so many of them.
  orphans: 100_000, // Orphans that are remembered;
  orphanMs: 3_600_000, // a file must have been one for so long before it is removed.
} as const;
