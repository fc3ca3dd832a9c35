// Owns what can happen to a volume, as tests name it: how it begins, how it ends.
import { type GatedCluster } from "../support/gated";

export interface Fault {
  name: string;
  strike(cluster: GatedCluster, volume: number): Promise<void>;
  heal(cluster: GatedCluster, volume: number): Promise<void>;
}

/** Its process and its connections are gone. */
export const dead: Fault = {
  name: "dead",
  strike: (cluster, volume) => cluster.volumes[volume]!.kill(),
  heal: (cluster, volume) => cluster.volumes[volume]!.restart(),
};

/** Its kernel takes connections and bytes, and nothing answers. */
export const frozen: Fault = {
  name: "frozen",
  strike: async (cluster, volume) => cluster.volumes[volume]!.freeze(),
  heal: async (cluster, volume) => cluster.volumes[volume]!.thaw(),
};

/** It answers, but every upload to it breaks off. */
export const cutOff: Fault = {
  name: "cut off in the middle of every value",
  strike: async (cluster, volume) => cluster.gates[volume]!.cut("PUT"),
  heal: async (cluster, volume) => cluster.gates[volume]!.open(),
};
