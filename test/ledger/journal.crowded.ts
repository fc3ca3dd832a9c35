// Writes a long journal beside the index of its argument while all files but one are open, and then more when they are closed
// again. Says each time how long the journal is.
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { type Key, parseKey } from "../../src/format/key";
import { Journal, type Owing } from "../../src/ledger/level/journal";
import { LineNumbers } from "../../src/ledger/level/reached";
import { limits } from "../../src/limits";
import { isOutOfFiles } from "../../src/open-files";

const [, , index = ""] = process.argv;
const journal = new Journal(index, { thread: 0, sync: true, numbers: new LineNumbers(LineNumbers.share(0)) });
let n = 0;

/** Owes something, and pays it if it is `paid`. */
async function write(name: string, { volumes, isPaid }: { volumes: number; isPaid: boolean }): Promise<void> {
  const key = parseKey(name) as Key;
  const owed = Array.from({ length: volumes }, (_, i) => `volume-${i}:1`).map((volume) => {
    return { volume, kind: "in-flight", sinceMs: 0, untilMs: 0 } as const;
  });
  const owing: Owing = { key, n: n++, record: undefined, owed, dueMs: 0 };
  await journal.owe(key.toHex(), owing);
  if (isPaid) await journal.tell(key.toHex(), { ...owing, n: n++, owed: [] });
}

const length = () => statSync(`${index}.journal-0`).size;
const say = () => writeSync(1, `${length()}\n`);
const taken: number[] = [];
try {
  for (;;) taken.push(openSync("/dev/null", "r"));
} catch (error) {
  if (!isOutOfFiles(error)) throw error;
}
closeSync(taken.pop()!); // The journal could be opened, its folder could not.
await write("/kept", { volumes: 1, isPaid: false });
while (length() < 1.5 * limits.journalBytes) await write("/long", { volumes: 10_000, isPaid: true });
say();
closeSync(openSync("/dev/null", "r")); // One can still be opened: what was opened in vain was closed.
for (const file of taken) closeSync(file);
for (let before = 0; length() > before;) {
  before = length();
  await write("/long", { volumes: 10_000, isPaid: true });
}
say();
process.exit(); // As if it were killed.
