// A worker thread that says what its clock says, and ends.
import { runThread } from "../../src/cli/threads";
import { nowMs } from "../../src/clock";

await runThread(async (_task, { say }) => say(nowMs()));
process.exit(0);
