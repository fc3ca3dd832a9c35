// Owns a whole store with a gate before each volume: the master knows the volumes by their gates alone.
import { join } from "node:path";
import { Cluster, type ClusterOptions } from "./cluster";
import { temporaryFolder } from "./folder";
import { Gate } from "./gate";
import { holding } from "./holding";
import { startVolume, type Volume } from "./volume";

export class GatedCluster extends Cluster {
  readonly gates: Gate[] = [];

  /** The volumes as the master knows them. */
  override get addresses(): string[] {
    return this.gates.map((gate) => gate.address);
  }

  openAll(): void {
    this.gates.forEach((gate) => gate.open());
  }
}

/** Three volumes with their gates and a master, unless the options say otherwise. */
export async function startGatedCluster({ volumes = 3, db, flags = [] }: ClusterOptions = {}): Promise<GatedCluster> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const started: Volume[] = [];
    for (let i = 0; i < volumes; i++) started.push(held.use(await startVolume()));
    const cluster = new GatedCluster(started, db ?? join(folder.path, "index"), flags, undefined, held);
    for (const volume of started) cluster.gates.push(held.use(await Gate.start(() => volume.port)));
    await cluster.startWhole();
    return cluster;
  });
}
