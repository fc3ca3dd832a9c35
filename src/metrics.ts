// Owns the numbers that the process counts: counters, gauges and histograms, of all its threads together.
// Make what you count once, at the top of a module, and use it as often as you like: `add` is one addition in an array.
//   const healed = counter("mkv_healed_total", "Copies that were brought home.");
//   healed.add();
//   const findings = counters("mkv_scrub_findings_total", "What the scrub found.", ["kind"]);
//   const missing = findings.of("missing"); // Shown from now on, as 0.
// 1. Each thread writes numbers of its own, which the first thread reads: no message, no lock, no number half written.
// 2. It also writes down, in front of them, which numbers stand for what, each before it counts with it.
// 3. There is room for so many numbers. What comes after that is counted nowhere, and not shown, but for how many series that
//    are. Series of volumes, of which there may be any number, leave a part of the room to all others.

const mostNumbers = 16_384;
const mostNameBytes = 2 * 1024 * 1024;
/** The share of both that series of volumes may take. */
const shareOfVolumes = 0.75;
/** The first numbers are nobody's: they take what there was no room for. So a histogram has fewer. */
const nobodys = 64;
const numbersAt = 2 * Int32Array.BYTES_PER_ELEMENT;
const namesAt = numbersAt + mostNumbers * Float64Array.BYTES_PER_ELEMENT;

/** Upper bounds of buckets of seconds, from a tenth of a millisecond to half a minute. */
const secondsBounds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** What a metric is, whatever it is at. */
export type Metric = {
  /** `mkv_...`, with its unit; of a counter ending in `_total`. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets; there is one more, for what lies above. */
  readonly bounds: readonly number[];
};

/** The values of a series' labels, and its numbers: one; of a histogram what fell in each bucket, then the sum of all. */
export type Series = { readonly values: readonly string[]; readonly numbers: readonly number[] };

type Place = [at: number, name: string, ...values: string[]];

/** What one thread writes: how many names and numbers there are, the numbers, then the names, as lines of JSON. */
class Row {
  readonly numbers: Float64Array;
  readonly #lengths: Int32Array;
  readonly #names: Uint8Array;
  readonly #read: Place[] = [];
  #readBytes = 0;

  constructor(readonly memory: SharedArrayBuffer) {
    this.#lengths = new Int32Array(memory, 0, 2);
    this.numbers = new Float64Array(memory, numbersAt, mostNumbers);
    this.#names = new Uint8Array(memory, namesAt);
    if (this.#lengths[1] === 0) this.#lengths[1] = nobodys;
  }

  /** Sets numbers aside for a series, within this share of the room. Returns where the first is; 0 if there is no room. */
  add({ name, ...metric }: Metric, values: readonly string[], share: number): number {
    const count = sizeOf(metric);
    const [length, at] = this.#lengths as unknown as [number, number];
    const line = Buffer.from(`${JSON.stringify([at, name, ...values])}\n`);
    if (at + count > share * mostNumbers || length + line.length > share * mostNameBytes) return 0;
    this.#names.set(line, length);
    this.#lengths[1] = at + count;
    Atomics.store(this.#lengths, 0, length + line.length); // Last: another thread may read it at once.
    return at;
  }

  /** Where the first number of each series is, its metric, the values of its labels. */
  series(): readonly Place[] {
    const length = Atomics.load(this.#lengths, 0);
    const added = Buffer.from(this.#names.slice(this.#readBytes, length)).toString();
    this.#readBytes = length;
    for (const line of added.split("\n").slice(0, -1)) this.#read.push(JSON.parse(line) as Place);
    return this.#read;
  }

  /** Goes on in the memory of another. */
  moveTo(memory: SharedArrayBuffer): Row {
    const [length, count] = this.#lengths as unknown as [number, number];
    const next = new Row(memory);
    next.numbers.set(this.numbers.subarray(0, count));
    next.#names.set(this.#names.subarray(0, length));
    next.#lengths.set([length, count]);
    return next;
  }
}

const newMemory = () => new SharedArrayBuffer(namesAt + mostNameBytes);
const metrics = new Map<string, Metric>();
let own = new Row(newMemory());
/** The same as `own.numbers`: what is counted with. */
let { numbers } = own;
const rows = [own];

/** Memory for another thread, which it gives to `joinMetrics` when it starts. */
export function shareMetrics(): SharedArrayBuffer {
  const row = new Row(newMemory());
  rows.push(row);
  return row.memory;
}

/** Lets this thread count where the first one reads it. */
export function joinMetrics(memory: SharedArrayBuffer): void {
  own = own.moveTo(memory);
  numbers = own.numbers;
  rows.splice(0, rows.length, own);
}

export type Measured = Metric & { readonly series: readonly Series[] };

/** Every metric of this program with what all threads have counted, in the order in which they were made. */
export function readMetrics(): Measured[] {
  const found = new Map<string, Map<string, { values: string[]; numbers: number[] }>>();
  for (const row of rows) {
    for (const [at, name, ...values] of row.series()) {
      const metric = metrics.get(name)!; // All threads run the same modules.
      const ofMetric = found.get(name) ?? new Map<string, { values: string[]; numbers: number[] }>();
      found.set(name, ofMetric);
      const series = ofMetric.get(values.join("\0")) ?? { values, numbers: new Array<number>(sizeOf(metric)).fill(0) };
      ofMetric.set(values.join("\0"), series);
      series.numbers.forEach((_, i) => (series.numbers[i]! += row.numbers[at + i]!));
    }
  }
  return [...metrics.values()].map((metric) => ({ ...metric, series: [...(found.get(metric.name)?.values() ?? [])] }));
}

/** Only grows. */
export class Counter {
  constructor(readonly at: number) {}

  add(count = 1): void {
    numbers[this.at]! += count;
  }
}

/** Goes up and down. What several threads say of it is added up. */
export class Gauge extends Counter {
  set(value: number): void {
    numbers[this.at] = value;
  }
}

/** Counts times, in seconds, by their length. */
export class Histogram {
  constructor(readonly at: number) {}

  /** @param times how many took so long: one of so many was looked at */
  observe(seconds: number, times = 1): void {
    let bucket = 0;
    while (bucket < secondsBounds.length && seconds > secondsBounds[bucket]!) bucket++;
    numbers[this.at + bucket]! += times;
    numbers[this.at + secondsBounds.length + 1]! += seconds * times;
  }
}

export class Labelled<T> {
  readonly #made = new Map<string, T>();

  constructor(
    readonly metric: Metric,
    readonly make: (at: number) => T,
  ) {}

  /** The one with these values of the labels, from now on shown. To be kept where it is used often. */
  of(...values: string[]): T {
    const id = values.join("\0");
    let made = this.#made.get(id);
    if (made === undefined) {
      const at = own.add(this.metric, values, this.metric.labels.includes("volume") ? shareOfVolumes : 1);
      if (at === 0) leftOut.add();
      made = this.make(at);
      this.#made.set(id, made);
    }
    return made;
  }
}

/** Counters that differ by their labels. */
export const counters = labelled("counter", (at) => new Counter(at));
/** Gauges that differ by their labels. */
export const gauges = labelled("gauge", (at) => new Gauge(at));
/** Histograms of seconds, that differ by their labels. */
export const histograms = labelled("histogram", (at) => new Histogram(at));

export const counter = (name: string, help: string): Counter => counters(name, help, []).of();
export const gauge = (name: string, help: string): Gauge => gauges(name, help, []).of();

function labelled<T>(type: Metric["type"], make: (at: number) => T) {
  return (name: string, help: string, labels: readonly string[]): Labelled<T> => {
    const metric = { name, help, type, labels, bounds: type === "histogram" ? secondsBounds : [] };
    metrics.set(name, metric);
    return new Labelled(metric, make);
  };
}

const leftOut = counter("mkv_series_left_out_total", "Series that are not shown, since there is no room for them.");

function sizeOf({ type, bounds }: Pick<Metric, "type" | "bounds">): number {
  return type === "histogram" ? bounds.length + 2 : 1;
}
