// A thread that counts the same as others do, and something that nobody else has.
import { runThread } from "../src/cli/threads";
import { counters, gauge } from "../src/metrics";

const counted = counters("test_threads_total", "Counted in several threads.", ["who"]);
const before = counted.of("all");
before.add(); // Before it has joined.
await runThread(async (_task, { say }) => {
  for (let i = 0; i < 1000; i++) before.add();
  counted.of("worker").add(7);
  gauge("test_level", "Said by several threads.").set(3);
  say("counted");
});
process.exit(0);
