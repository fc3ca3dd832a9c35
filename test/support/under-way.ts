// Owns the question whether a write or delete of a key is under way, which no list tells.
import { request } from "./http";
import { targetOf } from "./values";

/** Whether somebody is at work on the key: it is told to wait then. To be asked of a key that is not live. */
export async function isUnderWay(port: number, key: string): Promise<boolean> {
  return (await request(port, { method: "UNLINK", target: targetOf(key) })).status === 409;
}
