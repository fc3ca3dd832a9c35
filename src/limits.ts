// Owns the bounds: everything that could grow or last has one here, with its unit in its name.
export const limits = {
  /** Longest key; its path then still fits every file system. */
  keyBytes: 1024,
  /** Most keys that a list without `limit` answers. */
  listKeys: 1_000_000,
  /** Most text that one list answers: with `limit` the page ends early, without it is refused. */
  listTextBytes: 256 * 1024 * 1024,
  /** Lists that are gathered at once; further ones wait. Pages with a `limit` of so many keys do not, for so many records. */
  listsAtOnce: 4,
  pageKeys: 1000,
  pageRecords: 20_000,
  /** Memory of a thread for lists that are gathered or still being sent, and for such pages; more get 503. */
  sendingBytes: 384 * 1024 * 1024,
  pagesBytes: 64 * 1024 * 1024,
  /** A client has so long for each piece of a list, and more for a long one, by so many bytes a second. */
  slowReaderMs: 30_000,
  slowReaderBytes: 64 * 1024,

  /** An answer of a volume is proof for so long that it is there (health) and that it holds a file (GET). */
  freshMs: 1000,
  /** How often the health of the volumes is looked after. */
  probeMs: 500,
  /** A volume that fell silent is not written to for so long after it answers again. */
  settleMs: 2000,
  /** A change may begin at a volume for so long after it was sent, by the volume's clock, of which it sees the seconds. */
  fenceMs: 5000,
  /** A change that was sent so long ago can begin no more: with the grain of a second, and some drift. */
  fenceOverMs: 6500,
  /** A volume's clock is asked again after so long; it was set if it differs by so much from what was believed. */
  clockMs: 10_000,
  clockOffMs: 2000,
  /** How often it is looked who has come back, to ask who it is; how often all are asked that, and how far the store has come. */
  meetMs: 50,
  identityMs: 30_000,
  compareMs: 5_000,
  /** Volumes, disks and servers whose requests a thread counts. */
  namesCounted: 10_000,
  /** Servers that are not configured and whose clocks are remembered. */
  strangers: 1000,
  /** A write that runs short of volumes waits so long for a sign of life from those that are down. */
  patienceMs: 3000,
  /** A disk that refused a write is left alone for so long. */
  fullMs: 30_000,
  /** How often volumes are asked about their disks; how long, and at what length, they may answer. */
  disksEveryMs: 5000,
  disksMs: 4000,
  disksBytes: 8 * 1024 * 1024,
  /** A volume with more disks is shown as one; so many are watched, though -subvolumes names fewer by now; with less room one is full. */
  disksShown: 1024,
  disksWatched: 64,
  noRoomBytes: 1024 * 1024,
  /** Longest wait for a volume to confirm a DELETE or a whole PUT, as its disk may be slow, or to tell a rebuild who it is. */
  confirmMs: 10_000,
  /** A replacement that is committed waits so long for its volumes, before it ends with those that are there. */
  forwardMs: 60_000,
  /** Longest wait for a volume to sync a value, first pause before a busy one is asked again, how long it counts as able to. */
  syncMs: 60_000,
  syncPauseMs: 50,
  syncKnownMs: 10_000,
  /** A client that sends less than this in the time of `-clienttimeout` counts as silent. */
  tricklingBytes: 1024,
  /** A client whose value was refused may go on sending for so long, with pauses of so long, before it is cut off. */
  lingerMs: 5000,
  lingerSilenceMs: 1000,
  /** Folders that are looked into for a file that is in the way; longest wait for a listing to begin: all of it is read first; longest line. */
  foldersLookedInto: 100,
  listingMs: 300_000,
  listingLineBytes: 8192,

  /** Records that one step of a scan reads, at most, and their bytes, about. */
  scanKeys: 2000,
  scanBytes: 256 * 1024,
  /** LevelDB's cache of blocks, and its memtable, of which there may be two. */
  indexCacheBytes: 32 * 1024 * 1024,
  indexBufferBytes: 8 * 1024 * 1024,
  /** Length of LevelDB's files: longer ones make writes wait for seconds. It keeps so many open, with their filters: 80 GB of keys. */
  indexFileBytes: 8 * 1024 * 1024,
  indexFiles: 10_000,
  /** The journal is rewritten without its settled debts at this length, or at twice what is outstanding. */
  journalBytes: 1024 * 1024,
  /** That `fetch` is made ready takes no longer; then volumes have so long to say that they are there, and who they are. */
  warmUpMs: 500,
  firstLookMs: 2000,
  /** That a debt is paid is written to the journal after so long, if no other line takes it along; how far it has come is noted. */
  tidyMs: 200,
  reachedMs: 2000,
  /** What a volume answers and does not remove is tried again ever more rarely, at least so often. */
  longestPauseMs: 300_000,
  /** Why a volume is waited for is said so often at most. */
  waitingLogMs: 60_000,
  /** Readers that were sent to an old copy come for it within so long. */
  readersMs: 10_000,
  /** What a system leaves in memory is on its disk after so long. */
  unsyncedMs: 120_000,
  /** Times at which the index was closed, by its MANIFEST; files of the index as it was last. */
  runsRemembered: 100,
  tablesRemembered: 100,
  /** The dates of writes may be ahead of the clock by so much: no two writes of a key are of one second. */
  datesAheadMs: 10_000,
  /** Threads of a process, at most. */
  threads: 64,
  /** So many seconds of dates ahead of the clock are remembered at once. */
  datesReserved: 5,
  /** Keys that have a slot of their own for the second of their last write. */
  dateSlots: 65_536,
  /** Keys whose unfinished work waits for a volume; more are not begun. With so many, moves wait. So many are paid at once. */
  debts: 100_000,
  debtsWithMoves: 80_000,
  paidAtOnce: 16,
  /** Keys that can be locked at once, in groups of so many. */
  lockGroups: 4096,
  locksOfGroup: 15,
  /** Signatures of files that are remembered, and locations of values as just seen. */
  links: 20_000,
  presences: 100_000,
  /** A GET that waits for so long asks the next volume as well. */
  hedgeMs: 100,

  /** Good credentials are remembered for so long, refused ones for so long, no more than so many of each; longest credentials. */
  authMs: 60_000,
  refusedMs: 10_000,
  authEntries: 1000,
  authBytes: 4096,
  /** An address may be wrong so often; each further guess waits longer by so much, up to so long, behind so many others. */
  guessesFree: 5,
  guessPauseMs: 250,
  longestGuessPauseMs: 5000,
  guessesWaiting: 100,
  /** What an address guessed is forgotten after so long. */
  guesserMs: 600_000,
  /** An idle connection of a client is given up after this: longer than load balancers keep theirs. */
  idleSeconds: 90,
  /** Open files kept for journal, index and volumes: at least, as a share; how often it is looked at, how long it holds for PUTs. */
  reservedFiles: 64,
  reservedShare: 0.3,
  filesMs: 100,
  filesFreshMs: 5,
  /** Idle clients are closed when others have been refused for so long, until this share of the bound is left. */
  shedMs: 3000,
  relaxedShare: 0.9,
  /** The ledger has so long to say that it is there; how often volumes and jobs are looked at; a job so quiet has ended. */
  readyMs: 1000,
  watchMs: 500,
  jobQuietMs: 30_000,
  /** The last hour is kept as so many samples, one every so often. */
  samples: 360,
  sampleMs: 10_000,
  /** That clients are refused is said so often. */
  crowdedLogMs: 60_000,
  /** A write of the index that finds no file to open is tried again for so long, with pauses of so long. */
  indexFilesMs: 20_000,
  indexPauseMs: 200,
  /** A connection to a volume that was silent for so long has so long to answer; it is closed, and asked after by the system. */
  quietMs: 100,
  renewMs: 1000,
  keptMs: 5000,
  keepAliveMs: 15_000,
  /** Addresses of servers are looked up so often, after a long lookup not for so many times as long; Bun keeps them so long. */
  addressMs: 500,
  longLookupMs: 1000,
  lookupPause: 10,
  namesKeptMs: 31_000,
  /** Requests that still run so long after SIGTERM are cut off. */
  drainMs: 60_000,

  /** What comes in of all bodies of a thread while the volumes take what came before: so much is gathered, about. */
  gatheredBytes: 256 * 1024,
  gatheredChunks: 64,
  /** Longest value that goes to a volume as a short request. */
  shortBytes: 128 * 1024,
  /** Connections to a server that all questions of a thread share; questions that one takes in a turn of the loop; disks asked at once. */
  connectionsForQuestions: 32,
  questionsAtOnce: 8,
  placesAtOnce: 4,
  /** Longest head of an answer that a volume may send. */
  headBytes: 64 * 1024,
  /** Requests to volumes that all threads together have under way; further ones wait in `fetch`. */
  volumeRequests: 16_384,
  /** Folders that all threads of a rebuild list at once; keys that a rebalance moves at once, and with a rate through a master. */
  foldersAtOnce: 32,
  movesAtOnce: 32,
  pacedMovesAtOnce: 4,
  /** Records that one write of a job puts, or that it asks a master for at once; keys without a copy that a rebuild names. */
  batchRecords: 1000,
  keysNamed: 5,
  /** A request that finds its key busy tries once more after so long, a job after longer pauses, up to so long. */
  busyPauseMs: 100,
  busyMs: 1000,
  /** Longest wait for a master to move one key, whose value may be large, and to say how it is. */
  jobRequestMs: 3_600_000,
  statusMs: 10_000,
  /** Backups that a thread sends at once; their longest line, a job's longest body; what one may remember beside the keys. */
  exportsAtOnce: 2,
  backupLineBytes: 1024 * 1024,
  jobBodyBytes: 8 * 1024 * 1024,
  rememberedInBackup: 1_000_000,
  /** Keys that a job tries again at its end; with more than so many, where the job is is not written down. */
  triedAgain: 100_000,
  triedAgainRemembered: 1000,
  /** How often a job writes down where it is, for how long it goes on from there, how often it says so but on a terminal. */
  cursorMs: 2000,
  cursorKeptMs: 24 * 3_600_000,
  progressMs: 5000,
  /** Keys that are remembered as to be brought home, more wait for a rebalance; that a thread has told of, and for how long. */
  hints: 1_000_000,
  told: 10_000,
  toldMs: 60_000,
  /** Keys that are healed at once, and that are looked at a second, at most. */
  healsAtOnce: 4,
  healedKeys: 500,
  /** A round over the keys to be healed is followed by a pause of so long, or of so many times what it took. */
  healPauseMs: 1000,
  healPauses: 20,
  /** What heals or scrubs says how far it is so often, at most. */
  careLogMs: 60_000,
  /** A walk over all keys writes down how far it is so often; one whose note stays the same for so long has died. */
  walkNoteMs: 2000,
  walkTurnMs: 5000,
  /** Bytes a second that a scrub reads, at most, unless it is late by more than this share of its time. */
  scrubBytes: 50e6,
  scrubLate: 0.05,
  /** A thread that is late by so much serves clients first: work in the background makes so many pauses of so long. */
  loadedMs: 50,
  loadedPauseMs: 200,
  loadedPauses: 3,
  /** Orphans that are remembered, and for how long a file must have been one before it is removed. */
  orphans: 100_000,
  orphanMs: 3_600_000,
} as const;
