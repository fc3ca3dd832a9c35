// A worker thread that says something and then ends as it is told: with a result, a failure, an exception, or just so.
import { runThread } from "../../src/cli/threads";
import { MkvError } from "../../src/errors";

await runThread(async (task, { stop, say }) => {
  say("serving");
  const { end } = task as { end?: "result" | "failure" | "silence" | "stop" };
  if (end === "result") return 42;
  if (end === "failure") throw new MkvError("busy", "the index is in use");
  if (end === "silence") process.exit(0);
  if (end === "stop") return await new Promise((resolve) => stop.addEventListener("abort", () => resolve("stopped")));
  setTimeout(() => {
    throw new Error("out of luck");
  }, 10);
  return await new Promise(() => {});
});
process.exit(0);
