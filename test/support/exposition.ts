// Owns a strict reader of Prometheus' text format, version 0.0.4: whatever a server might forgive is an error here.

/** Every sample by its series, as in `name{label="value"}` with the labels sorted, and the type of every metric. */
export type Exposition = { readonly samples: ReadonlyMap<string, number>; readonly types: ReadonlyMap<string, string> };

const metricName = String.raw`[a-zA-Z_:][a-zA-Z0-9_:]*`;
const value = String.raw`(?:[^"\\\n]|\\["\\n])*`;
const label = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="${value}"`;
const number = String.raw`[-+]?(?:Inf|NaN|\d+(?:\.\d+)?(?:e[-+]?\d+)?)`;
const helpLine = new RegExp(String.raw`^# HELP (${metricName}) ((?:[^\\]|\\[\\n])+)$`);
const typeLine = new RegExp(`^# TYPE (${metricName}) (counter|gauge|histogram)$`);
const sampleLine = new RegExp(`^(${metricName})(?:\\{(${label}(?:,${label})*)\\})? (${number})$`);

/** Reads a whole text. Throws with the line that is not as it should be. */
export function readExposition(text: string): Exposition {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  const helps = new Set<string>();
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    const [, helped] = helpLine.exec(line) ?? [];
    const [, typed, type] = typeLine.exec(line) ?? [];
    const [, name, labels = "", shown] = sampleLine.exec(line) ?? [];
    if (helped !== undefined) {
      if (helps.has(helped)) fail("HELP twice");
      helps.add((current = helped));
    } else if (typed !== undefined) {
      if (typed !== current || types.has(typed)) fail("TYPE without its HELP before it, or twice");
      types.set(typed, type!);
    } else if (name !== undefined) {
      if (!isOf(name, current, types.get(current))) fail("a sample outside of its metric");
      const series = `${name}{${sorted(labels, fail)}}`;
      if (samples.has(series)) fail("a series twice");
      samples.set(series, read(shown!));
    } else fail("no line of the format");
  }
  for (const name of helps) if (!types.has(name)) throw new Error(`${name} has no TYPE`);
  for (const [name, type] of types) check(name, type, samples);
  return { samples, types };
}

/** The sample of one series, as in `mkv_volume_up{volume="localhost:3001"}`. Throws if there is none. */
export function sampleOf({ samples }: Exposition, series: string): number {
  const found = samples.get(series.includes("{") ? series : `${series}{}`);
  if (found === undefined) throw new Error(`there is no ${series}`);
  return found;
}

/** The sum of all series of a metric that have these labels. */
export function sumOf({ samples }: Exposition, name: string, ...labels: string[]): number {
  const meant = [...samples].filter(
    ([series]) => series.startsWith(`${name}{`) && labels.every((each) => series.includes(each)),
  );
  return meant.reduce((sum, [, number]) => sum + number, 0);
}

/** Series of counters and of histograms that are lower than before, or gone. */
export function fallen(before: Exposition, after: Exposition): string[] {
  return [...before.samples]
    .filter(([series, number]) => {
      const name = series.slice(0, series.indexOf("{"));
      const type = before.types.get(name) ?? before.types.get(name.replace(/_(bucket|sum|count)$/, ""));
      return type !== "gauge" && !((after.samples.get(series) ?? Number.NEGATIVE_INFINITY) >= number);
    })
    .map(([series]) => series);
}

function isOf(name: string, metric: string, type: string | undefined): boolean {
  if (type !== "histogram") return name === metric && type !== undefined;
  return ["_bucket", "_sum", "_count"].some((suffix) => name === metric + suffix);
}

function sorted(labels: string, fail: (why: string) => never): string {
  const pairs = labels === "" ? [] : labels.match(new RegExp(label, "g"))!;
  const names = pairs.map((pair) => pair.slice(0, pair.indexOf("=")));
  if (new Set(names).size < names.length) fail("a label twice");
  return pairs.toSorted().join(",");
}

function read(text: string): number {
  return text.endsWith("Inf") ? (text.startsWith("-") ? -1 : 1) * Number.POSITIVE_INFINITY : Number(text);
}

function check(name: string, type: string, samples: ReadonlyMap<string, number>): void {
  const own = [...samples].filter(([series]) => series.replace(/\{.*/s, "").startsWith(name));
  if (type === "counter") {
    if (!name.endsWith("_total")) throw new Error(`${name} is a counter that does not end in _total`);
    for (const [series, number] of own) if (!(number >= 0)) throw new Error(`${series} is ${number}`);
  }
  if (type !== "histogram") return;
  const buckets = Map.groupBy(
    own.filter(([series]) => series.startsWith(`${name}_bucket{`)),
    ([series]) => series.replace(/,?le="[^"]*"/, "").replace("{,", "{"),
  );
  const counts = own.filter(([series]) => series.startsWith(`${name}_count{`));
  if (counts.length !== buckets.size) throw new Error(`${name} has ${counts.length} counts of ${buckets.size}`);
  for (const [series, ofSeries] of buckets) {
    const steps = ofSeries.map(([each, count]) => ({ le: read(/le="([^"]*)"/.exec(each)![1]!), count }));
    for (const [i, { le, count }] of steps.entries()) {
      const before = steps[i - 1];
      if (before && !(le > before.le && count >= before.count)) throw new Error(`${series} does not rise at ${le}`);
    }
    const last = steps.at(-1)!;
    const rest = series.slice(`${name}_bucket`.length);
    if (last.le !== Number.POSITIVE_INFINITY || last.count !== samples.get(`${name}_count${rest}`))
      throw new Error(`${series}: its +Inf bucket is not its count`);
    if (!samples.has(`${name}_sum${rest}`)) throw new Error(`${series} has no sum`);
  }
}
