// Owns the keys and values that are measured with, and those that are put on volumes and into indexes without a master.
import { chmodSync, existsSync, linkSync, mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { temporaryFolder } from "../../test/support/folder";
import { type Volume, startVolume } from "../../test/support/volume";
import { type Key } from "../../src/format/key";
import { pathOf } from "../../src/format/path";
import { type Topology, place } from "../../src/format/placement";

const written = new Date();

/** A key and its record as text. */
export type Entry = readonly [key: string, record: string];

/** The key with this number; keys sort as their numbers do. All are ASCII that a URL takes as it is. */
export function keyOf(number: number): string {
  return `/bench/${String(number).padStart(9, "0")}-${mix(number).toString(16).padStart(8, "0")}`;
}

/** The value of a key: no two are alike, and no byte is as expected if it is another's. */
export function valueOf(key: string, bytes = 1_000): Buffer {
  return Buffer.alloc(bytes, `${key}\n`);
}

/** 32 bits that look random. */
export function mix(number: number): number {
  let bits = Math.imul(number ^ (number >>> 16) ^ 0x9e3779b9, 0x45d9f3b);
  bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Numbers from 0 on. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Entries of so many keys, where they belong, made as they are asked for. The MD5s are those of the keys. */
export function* entriesUpTo(count: number, topology: Topology): Generator<Entry> {
  for (let number = 0; number < count; number++) {
    const key = keyOf(number);
    yield [key, `HASH${Bun.MD5.hash(key, "hex")}${place(bytesOf(key), topology).join(",")}`];
  }
}

/** Makes an index of these entries, in the place of one that is there. Keys that come in order are written faster. */
export async function writeIndex(folder: string, entries: Iterable<Entry>): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const db = new ClassicLevel<string, string>(folder, { writeBufferSize: 2 ** 23, maxFileSize: 2 ** 23 }); // As mkv.
  await db.open();
  let batch: { type: "put"; key: string; value: string }[] = [];
  for (const [key, value] of entries) {
    batch.push({ type: "put", key, value });
    if (batch.length === 2_000) await db.batch(batch.splice(0));
  }
  await db.batch(batch);
  await db.compactRange("", ""); // Flushes the memtable: no master is to start with work that is the bench's.
  await db.close();
}

type ShelfOptions = {
  volumes?: number;
  subvolumes?: number;
  /** Where the folders of the volumes are, and stay; without, they go with the shelf. */
  dir?: string;
  /** One for each volume; the kernel's choice without. */
  ports?: readonly number[];
};

/** Masters with indexes of their own share the volumes here: each would end by the notes of one that came later. */
function takeNoEpoch({ dir }: Volume): void {
  const epoch = join(dir, "mkv", "epoch");
  rmSync(epoch, { recursive: true, force: true });
  mkdirSync(epoch, { recursive: true }); // In the place of the file.
  chmodSync(join(dir, "mkv"), 0o777);
}

/** Volumes, and what is put on them straight. */
export class Shelf implements AsyncDisposable {
  private constructor(
    readonly volumes: readonly Volume[],
    readonly topology: Topology,
    /** For whatever belongs to it. */
    readonly folder: string,
    /** What ends with it. */
    readonly held: AsyncDisposableStack,
  ) {}

  static async start({ volumes: count = 3, subvolumes = 10, dir, ports }: ShelfOptions = {}): Promise<Shelf> {
    await using held = new AsyncDisposableStack();
    const folder = held.use(temporaryFolder());
    if (dir !== undefined) mkdirSync(dir, { recursive: true });
    const start = (n: number) =>
      startVolume({ ...(dir && { dir: join(dir, `volume${n}`) }), ...(ports && { port: ports[n]! }) });
    const volumes = (await Promise.all(upTo(count).map(start))).map((volume) => held.use(volume));
    for (const volume of volumes) takeNoEpoch(volume);
    const topology = { volumes: volumes.map(({ address }) => address), replicas: 3, subvolumes };
    return new Shelf(volumes, topology, folder.path, held.move());
  }

  get ports(): number[] {
    return this.volumes.map(({ port }) => port);
  }

  /** What a master is told of it. */
  get flags(): Record<string, string | number> {
    const { volumes, replicas, subvolumes } = this.topology;
    return { volumes: volumes.join(","), replicas, subvolumes };
  }

  /** Where a key belongs, as its record says it. */
  volumesOf(key: string, topology = this.topology): string[] {
    return place(bytesOf(key), topology);
  }

  /** URLs of its copies. */
  urlsOf(key: string, topology = this.topology): string[] {
    return this.volumesOf(key, topology).map((volume) => `http://${volume}${pathOf(bytesOf(key))}`);
  }

  /** The file behind a URL. */
  fileOf(url: string): string {
    const [, address, path] = /^http:\/\/([^/]+)(.*)$/.exec(url)!;
    return this.volumes.find((volume) => volume.address === address)!.dir + path!;
  }

  filesOf(key: string, topology = this.topology): string[] {
    return this.urlsOf(key, topology).map((url) => this.fileOf(url));
  }

  /** Writes values where they belong. */
  async store(keys: readonly string[], bytes?: number, topology = this.topology): Promise<void> {
    for await (const [, key] of unhurried(keys)) {
      for (const file of this.filesOf(key, topology)) {
        mkdirSync(dirname(file), { recursive: true });
        write(file, valueOf(key, bytes));
      }
    }
    this.#give();
  }

  /** Stores the same value for all of these keys, as one file with many names: many times faster. */
  async storeSame(keys: readonly string[]): Promise<void> {
    for await (const [n, key] of unhurried(keys)) {
      const part = Math.floor(n / 50_000); // ext4 has at most 65,000 names for a file.
      for (const file of this.filesOf(key)) {
        const source = `${this.volumes.find(({ dir }) => file.startsWith(`${dir}/`))!.dir}.${part}`;
        if (!existsSync(source)) write(source, valueOf("same", 100));
        mkdirSync(dirname(file), { recursive: true });
        linkSync(source, file);
      }
    }
    this.#give();
  }

  /** nginx works as another user. */
  #give(): void {
    for (const { dir } of this.volumes) {
      const { uid, gid } = statSync(dir);
      Bun.spawnSync(["chown", "-R", `${uid}:${gid}`, dir]);
    }
  }

  /** Waits until what was written is on the disk, so that no run pays for an earlier one. */
  settle(): void {
    Bun.spawnSync(["sync", "-f", this.folder]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.held.disposeAsync();
  }
}

/** Numbered items, with a look at what else there is to do between them: at a signal, for one. */
export async function* unhurried<T>(items: Iterable<T>): AsyncGenerator<[number: number, item: T]> {
  let number = 0;
  for (const item of items) {
    if (number % 1_000 === 0) await Bun.sleep(0);
    yield [number++, item];
  }
}

/** Copies of one write have its date. */
function write(file: string, value: Uint8Array): void {
  writeFileSync(file, value);
  utimesSync(file, written, written);
}

function bytesOf(key: string): Key {
  return Buffer.from(key) as Uint8Array as Key;
}
