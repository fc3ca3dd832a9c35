// A thread whose server goes and comes back again and again, from when all threads are there.
import { Health } from "../../src/volumes/health";

declare const self: Worker;
self.onmessage = ({ data: { topology, shared, server, times, ready } }) => {
  const health = new Health(topology, shared);
  Atomics.add(ready, 0, 1);
  while (Atomics.load(ready, 0) < topology.volumes.length);
  for (let i = 0; i < times; i++) {
    health.lost(server);
    health.heard(server);
  }
  postMessage("done");
};
