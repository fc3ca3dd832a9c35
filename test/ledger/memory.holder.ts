// Holds what lies beside the index of its first argument until it is killed, and says so, or why it cannot. With `fill`
// it first writes until a write fails, and says whether a small one was tried after that, and how often it was told of a failure.
import { writeSync } from "node:fs";
import { openMemory } from "../../src/ledger/level/memory";

const say = (line: string) => writeSync(1, `${line}\n`);
const [, , index = "", task] = process.argv;

try {
  let told = 0;
  const memory = await openMemory(index, { onBroken: () => void told++ });
  await memory.put("holder", process.pid);
  if (task === "fill") {
    let failure: unknown;
    for (let i = 0; failure === undefined; i++) {
      await memory.put(`large-${i}`, "v".repeat(10_000)).catch((error: unknown) => (failure = error));
    }
    const next = await memory.put("small", "v").catch((error: unknown) => error);
    say(`${next === failure ? "refused" : "tried"}, told ${told}`);
  }
  say("held");
  setInterval(() => {}, 1 << 30);
} catch (error) {
  say((error as Error).message);
}
