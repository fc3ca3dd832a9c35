// A worker thread that reports for work and then dies of an exception, or just ends, as it is told.
import { parentPort, workerData } from "node:worker_threads";

const { task } = workerData as { task: { ends?: boolean } };
parentPort!.postMessage("serving");
if (task.ends) process.exit(0);
setTimeout(() => {
  throw new Error("out of luck");
}, 10);
