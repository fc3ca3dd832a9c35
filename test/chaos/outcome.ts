// Owns what answers mean: which end of a change each status stands for, and which it must never have.
import { type Answer } from "../support/http";
import { type Change, type KeyModel, type Outcome } from "./model";

/** What the answer says of a change. Throws if no change may be answered so. */
export function outcomeOf(key: KeyModel, { kind }: Change, { status, text, headers }: Answer): Outcome {
  if (status === 201 || status === 204) return "done";
  if (status === 409) return "busy";
  if (status === 503 && !(Number(headers.get("retry-after")) > 0)) key.violated("503 without Retry-After", []);
  if (/a bug/.test(text)) key.violated(text, []);
  const denied = kind === "PUT" ? 403 : 404;
  if (status === denied) return "denied";
  const failures: Record<Change["kind"], number[]> = {
    PUT: [408, 500, 502, 503, 504],
    DELETE: [],
    UNLINK: [],
    REBALANCE: [400],
  };
  if (!failures[kind].includes(status)) key.violated(`${kind} was answered with ${status} ${text}`, key.possible());
  return "failed";
}
