// Owns how much each workload does.
import { type Options } from "./options";

/** Counts and bytes, at full size those of the targets. */
export type Sizes = {
  /** Length of a run that goes by the clock. */
  seconds: number;
  /** Turns before those that count: one or none. */
  warmUps: 0 | 1;
  /** Rest between the last run and the look at what memory is still in use. */
  calmMs: number;
  /** Keys with values that GETs ask for. */
  shelfKeys: number;
  smallBytes: number;
  oneUploadBytes: number;
  uploadBytes: number;
  rebuildKeys: number;
  fullFolders: number;
  filesOfFolder: number;
  smallMoves: number;
  largeMoves: number;
  largeBytes: number;
  listKeys: number;
  pages: number;
  indexKeys: number;
};

const full: Sizes = {
  seconds: 5,
  warmUps: 1,
  calmMs: 3_000,
  shelfKeys: 100_000,
  smallBytes: 1_000,
  oneUploadBytes: 1_000_000_000,
  uploadBytes: 256_000_000,
  rebuildKeys: 200_000,
  fullFolders: 50,
  filesOfFolder: 2_000,
  smallMoves: 20_000,
  largeMoves: 200,
  largeBytes: 10_000_000,
  listKeys: 1_000_000,
  pages: 300,
  indexKeys: 20_000_000,
};

const tiny: Sizes = {
  seconds: 1,
  warmUps: 0,
  calmMs: 100,
  shelfKeys: 1_000,
  smallBytes: 1_000,
  oneUploadBytes: 4_000_000,
  uploadBytes: 1_000_000,
  rebuildKeys: 500,
  fullFolders: 4,
  filesOfFolder: 20,
  smallMoves: 50,
  largeMoves: 4,
  largeBytes: 1_000_000,
  listKeys: 10_000,
  pages: 20,
  indexKeys: 50_000,
};

/** Lists longer than this are refused by the protocol, and so is no index smaller than its two parts. */
const longestList = 1_000_000;

/** The sizes that these options ask for; the bytes of single small and large values are always the same. */
export function sizesOf(options: Options): Sizes {
  const size = options.tiny ? { ...tiny } : { ...full };
  const scaled = (number: number) => Math.max(4, Math.round(number * options.scale));
  return {
    ...size,
    seconds: options.seconds ?? size.seconds,
    shelfKeys: scaled(size.shelfKeys),
    oneUploadBytes: scaled(size.oneUploadBytes),
    uploadBytes: scaled(size.uploadBytes),
    rebuildKeys: scaled(size.rebuildKeys),
    fullFolders: Math.min(65_536, scaled(size.fullFolders)),
    smallMoves: scaled(size.smallMoves),
    largeMoves: scaled(size.largeMoves),
    listKeys: Math.min(longestList, scaled(size.listKeys)),
    pages: scaled(size.pages),
    indexKeys: Math.max(scaled(size.indexKeys), scaled(size.shelfKeys)),
  };
}
