// Writes to the LevelDB in the folder of its first argument until it is killed, so hard that it flushes and compacts all
// the time. Says which number it has written last.
import { writeSync } from "node:fs";
import { ClassicLevel } from "classic-level";

const say = (line: string) => writeSync(1, `${line}\n`);
const value = Buffer.alloc(500, Math.random().toString()).toString();
const db = new ClassicLevel(process.argv[2]!, { writeBufferSize: 64 * 1024, maxFileSize: 1024 * 1024 });

say("opening");
await db.open();
for (let number = Number((await db.get("number")) ?? 0) + 1; ; number++) {
  const keys = Array.from({ length: 40 }, () => `key-${Math.floor(Math.random() * 20_000)}`);
  const puts = keys.map((key) => ({ type: "put" as const, key, value: value + key }));
  await db.batch([...puts, { type: "put", key: "number", value: String(number) }]);
  say(String(number));
}
