// Takes every key of a series that it can get, and counts which it got.
import { parseKey } from "../../src/format/key";
import { KeyLocks } from "../../src/ledger/level/locks";

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<{ shared: SharedArrayBuffer; tally: SharedArrayBuffer; rounds: number }>) => {
  const locks = new KeyLocks(data.shared);
  const winners = new Int32Array(data.tally);
  for (let round = 0; round < data.rounds; round++) {
    try {
      locks.take(parseKey(`/round-${round}`)); // Never given back: whoever comes later must be refused.
      Atomics.add(winners, round, 1);
    } catch {
      // Another thread has it.
    }
  }
  self.postMessage("done");
};
