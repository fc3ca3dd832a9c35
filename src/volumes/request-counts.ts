// Owns what is counted of requests to volumes: by the volume's name in `-volumes`, and how they ended.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { isConfigured, ownerOf, serverOf } from "../format/volume";
import { limits } from "../limits";
import { counters, histograms } from "../metrics";

const requests = counters("mkv_volume_requests_total", "Requests to volumes.", ["volume", "verb", "outcome"]);
const seconds = histograms("mkv_volume_request_seconds", "Time until a volume answered, or was given up.", ["verb"]);

/**
 * `refused`: for want of rights, or as too late. `error`: 5xx. `abandoned`: nobody wanted the answer any more, as when the
 * client of a PUT went away.
 */
type Outcome = "ok" | "refused" | "error" | "timeout" | "unreachable" | "abandoned";

/** The requests of a thread to its volumes. */
export class RequestCounts {
  /** The volumes that names of volumes, disks and servers belong to. */
  readonly #labels = new Map<string, string>();

  constructor(readonly topology: Topology) {}

  /** Counts a request with its end, and passes that on. */
  async count<T extends { readonly status: number }>(name: string, verb: string, answer: Promise<T>): Promise<T> {
    const startMs = performance.now();
    try {
      const answered = await answer;
      this.#note(name, verb, outcomeOf(answered.status), startMs);
      return answered;
    } catch (error) {
      this.#note(name, verb, failureOf(error), startMs);
      throw error;
    }
  }

  #note(name: string, verb: string, outcome: Outcome, startMs: number): void {
    let label = this.#labels.get(name);
    if (label === undefined) {
      if (this.#labels.size > limits.namesCounted) this.#labels.clear(); // Records of old may name any number of volumes.
      this.#labels.set(name, (label = this.#labelOf(name)));
    }
    requests.of(label, verb, outcome).add();
    seconds.of(verb).observe((performance.now() - startMs) / 1000);
  }

  /** The volume that a name belongs to; of a server that has several, the first. */
  #labelOf(name: string): string {
    if (isConfigured(this.topology, name)) return ownerOf(this.topology, name);
    return this.topology.volumes.find((volume) => serverOf(volume) === serverOf(name)) ?? "other";
  }
}

function outcomeOf(status: number): Outcome {
  if (status >= 500) return "error";
  return status === 401 || status === 403 || status === 412 ? "refused" : "ok";
}

function failureOf(error: unknown): Outcome {
  if (!(error instanceof MkvError) || error.code === "volume-failed") return "unreachable";
  return error.code === "timeout" ? "timeout" : "abandoned";
}
