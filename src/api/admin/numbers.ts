// Owns the reading of what was counted: sums, and times that so many requests did not exceed.
import { type Measured, type Series } from "../../metrics";

/** Which series of a metric are meant, by the values of their labels. */
export type Which = (...values: string[]) => boolean;

/** The numbers of a metric, those of all its series that are meant together; none if there are none. */
export function numbersOf(metrics: readonly Measured[], name: string, which: Which = () => true): number[] {
  const series = metrics.find((metric) => metric.name === name)?.series ?? [];
  const meant = series.filter(({ values }: Series) => which(...values));
  return (meant[0]?.numbers ?? []).map((_, i) => meant.reduce((sum, { numbers }) => sum + numbers[i]!, 0));
}

/** The sum of a counter or gauge; 0 if there is none. */
export function totalOf(metrics: readonly Measured[], name: string, which?: Which): number {
  return numbersOf(metrics, name, which)[0] ?? 0;
}

/**
 * The value that a share of what fell into these buckets did not exceed, as far as buckets tell; null if nothing did.
 * @param counts of each bucket, and of what lay above the last bound
 */
export function quantileOf(share: number, bounds: readonly number[], counts: readonly number[]): number | null {
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  if (wanted === 0) return null;
  let below = 0;
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i]!;
    const from = bounds[i - 1] ?? 0;
    if (below + count >= wanted) return from + ((bound - from) * (wanted - below)) / count;
    below += count;
  }
  return bounds.at(-1)!;
}
