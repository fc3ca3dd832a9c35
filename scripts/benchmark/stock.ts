// Owns the values that several workloads ask for: made when the first of them wants them, gone with the bench.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "./cluster";
import { demand } from "./failure";
import { type Home } from "./home";
import { entriesOf, writeIndex } from "./ledger";
import { type Placed, Shelf, keyOf, mix, placeOf, valueOf } from "./shelf";
import { type Sizes } from "./sizes";
import { Wire } from "./wire";

const samples = 100;

/** Values on three volumes. Their numbers are spread over those of the large index. */
export class Stock implements AsyncDisposable {
  readonly #home: Home;
  readonly #sizes: Sizes;
  #made: Promise<Cluster> | undefined;

  constructor(home: Home, sizes: Sizes) {
    this.#home = home;
    this.#sizes = sizes;
  }

  /** Room for `demandRoom`. */
  get room(): { bytes: number; files: number } {
    const files = 7 * this.#sizes.shelfKeys;
    return this.#made ? { bytes: 0, files: 0 } : { bytes: files * 4096, files };
  }

  /** The number of the next key of the large index that has a value. */
  get stride(): number {
    return Math.floor(this.#sizes.indexKeys / this.#sizes.shelfKeys);
  }

  /** The cluster that holds the values. */
  cluster(): Promise<Cluster> {
    this.#made ??= this.#make();
    return this.#made;
  }

  /** The number of each key, in order; `count` of them spread over all if not all. */
  numbers(count = this.#sizes.shelfKeys): number[] {
    const step = Math.max(1, Math.floor(this.#sizes.shelfKeys / count));
    return Array.from({ length: Math.min(count, this.#sizes.shelfKeys) }, (_, i) => i * step * this.stride);
  }

  /** Where the value with this number is. */
  async placed(number: number): Promise<Placed> {
    return placeOf(keyOf(number), (await this.cluster()).topology());
  }

  /** An index of these keys. */
  async index(name: string, numbers: readonly number[] = this.numbers()): Promise<string> {
    const topology = (await this.cluster()).topology();
    const folder = join(this.#home.folder("indexes"), name);
    await writeIndex(folder, entriesOf(numbers, topology));
    return folder;
  }

  /** A file with these keys as paths, one a line. */
  paths(name: string, numbers: readonly number[] = this.numbers()): string {
    const file = join(this.#home.folder("paths"), name);
    writeFileSync(file, numbers.map((number) => `${keyOf(number)}\n`).join(""));
    return file;
  }

  /** Reads some values back through a master. Throws BenchError if one is not what was stored. */
  async check(port: number, numbers: readonly number[] = this.numbers()): Promise<void> {
    using master = await Wire.to(port);
    for (let i = 0; i < samples; i++) {
      const key = keyOf(numbers[mix(i) % numbers.length]!);
      const { status, location } = await master.ask("GET", key);
      demand(status === 302 && location !== undefined, `GET ${key} gives ${status}`);
      const { hostname, port: volume, pathname } = new URL(location);
      demand(hostname === "localhost", `GET ${key} leads to ${hostname}`);
      using wire = await Wire.to(Number(volume));
      const { status: found, body } = await wire.ask("GET", pathname);
      const isRight = found === 200 && body.equals(valueOf(key, this.#sizes.smallBytes));
      demand(isRight, `GET ${key} leads to ${location}, where its value is not (${found})`);
    }
  }

  async #make(): Promise<Cluster> {
    const cluster = await Cluster.start(this.#home, "stock");
    const shelf = new Shelf(cluster);
    for (const number of this.numbers()) {
      const key = keyOf(number);
      shelf.store(placeOf(key, cluster.topology()), valueOf(key, this.#sizes.smallBytes));
    }
    this.#home.settle();
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#made?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}
