// Owns the way of other threads to what the first one remembers beside the index: it alone has that open.
import { type MessagePort } from "node:worker_threads";
import { MkvError, reasonOf } from "../../errors";
import { type Memory } from "../ledger";

type Call = {
  readonly id: number;
  readonly verb: "get" | "put" | "delete";
  readonly name: string;
  readonly value?: unknown;
};
type Answer = { readonly id: number; readonly value?: unknown; readonly failure?: string };

/** Answers what another thread asks of this memory. */
export function serveMemory(memory: Memory, port: MessagePort): void {
  port.on("message", (call: Call) => {
    const { id, verb, name } = call;
    const done =
      verb === "get" ? memory.get(name) : verb === "put" ? memory.put(name, call.value) : memory.delete(name);
    Promise.resolve(done).then(
      (value) => port.postMessage({ id, value } satisfies Answer),
      (error) => port.postMessage({ id, failure: reasonOf(error) } satisfies Answer),
    );
  });
  port.unref();
}

/** The memory at the other end of this port. */
export function remoteMemory(port: MessagePort): Memory {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  const ask = (call: Omit<Call, "id">): Promise<unknown> => {
    const answer = Promise.withResolvers<unknown>();
    waiting.set(++last, answer);
    port.postMessage({ id: last, ...call } satisfies Call);
    return answer.promise;
  };
  port.on("message", ({ id, value, failure }: Answer) => {
    const answer = waiting.get(id);
    waiting.delete(id);
    if (failure === undefined) answer?.resolve(value);
    else answer?.reject(new MkvError("failed", failure));
  });
  port.unref();
  return {
    get: (name) => ask({ verb: "get", name }),
    put: async (name, value) => void (await ask({ verb: "put", name, value })),
    delete: async (name) => void (await ask({ verb: "delete", name })),
  };
}
