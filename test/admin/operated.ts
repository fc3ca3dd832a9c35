// Owns a store with an admin port, and what is asked there.
import { type ClusterOptions, Cluster, startCluster } from "../support/cluster";
import { type Exposition, readExposition } from "../support/exposition";
import { type Answer, type Ask, request } from "../support/http";
import { freePort } from "../support/ports";

/** A store that can be watched. */
export type Operated = AsyncDisposable & {
  readonly cluster: Cluster;
  readonly port: number;
  ask(target: string, rest?: Omit<Ask, "target">): Promise<Answer>;
  metrics(): Promise<Exposition>;
  status(): Promise<Status>;
};

export type Status = {
  readonly version: string;
  readonly ready: boolean;
  readonly problems: string[];
  readonly volumes: {
    readonly name: string;
    readonly state: string;
    readonly settled: boolean;
    readonly disks: { readonly name: string; readonly state: string; readonly freeBytes?: number }[];
  }[];
  readonly jobs: { readonly name: string; readonly keys: number }[];
  readonly verifiedAt: number;
  readonly verifyFindings: Record<string, number>;
  readonly owed: number;
  readonly toHeal: number;
  readonly requests: Record<string, number>;
};

/** The same store, asked at this admin port. */
export function operated(cluster: Cluster, port: number): Operated {
  const ask = (target: string, rest: Omit<Ask, "target"> = {}) => request(port, { target, ...rest });
  return {
    ...{ cluster, port, ask },
    metrics: async () => readExposition((await ask("/metrics")).text),
    status: async () => JSON.parse((await ask("/status")).text) as Status,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

export async function startOperated({ flags = [], ...options }: ClusterOptions = {}): Promise<Operated> {
  const port = await freePort();
  return operated(await startCluster({ ...options, flags: [...flags, "-adminport", String(port)] }), port);
}
