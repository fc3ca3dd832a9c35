// A worker thread that says what its clock says, and ends.
import { parentPort, workerData } from "node:worker_threads";
import { type WorkerData } from "../../src/cli/threads";
import { nowMs, startClock } from "../../src/clock";

startClock((workerData as WorkerData).startedMs);
parentPort!.postMessage(nowMs());
