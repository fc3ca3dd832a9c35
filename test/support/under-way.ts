// Owns the question whether a write or delete of a key is under way, which no list tells; and writes that are.
import { type Wire, dial, head, request } from "./http";
import { until } from "./until";
import { targetOf } from "./values";

/** Whether somebody is at work on the key: it is told to wait then. To be asked of a key that is not live. */
export async function isUnderWay(port: number, key: string): Promise<boolean> {
  return (await request(port, { method: "UNLINK", target: targetOf(key) })).status === 409;
}

/** A PUT of ten bytes that has got hold of its key, and whose last byte is still to come. */
export async function halfPut(port: number, key: string): Promise<Wire> {
  const wire = await dial(port);
  wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "10" } }, { close: false }));
  wire.write("012345678");
  await until(() => isUnderWay(port, key), { what: `the PUT of ${key} has begun` });
  return wire;
}
