// Owns the way of other threads to what the first one remembers beside the index: it alone has that open.
import { type MessagePort } from "node:worker_threads";
import { MkvError, reasonOf } from "../../errors";
import { type Memory } from "../ledger";

type Call = { readonly id: number; readonly verb: keyof Memory; readonly args: readonly unknown[] };
type Answer = { readonly id: number; readonly value?: unknown; readonly failure?: string };

/** Answers what another thread asks of this memory. */
export function serveMemory(memory: Memory, port: MessagePort): void {
  port.on("message", ({ id, verb, args }: Call) => {
    const carryOut = memory[verb].bind(memory) as (...args: readonly unknown[]) => unknown;
    Promise.try(() => carryOut(...args)).then(
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
  const ask = <T>(verb: keyof Memory, ...args: readonly unknown[]): Promise<T> => {
    const answer = Promise.withResolvers<unknown>();
    waiting.set(++last, answer);
    port.postMessage({ id: last, verb, args } satisfies Call);
    return answer.promise as Promise<T>;
  };
  port.on("message", ({ id, value, failure }: Answer) => {
    const answer = waiting.get(id);
    waiting.delete(id);
    if (failure === undefined) answer?.resolve(value);
    else answer?.reject(new MkvError("failed", failure));
  });
  port.unref();
  return {
    get: (name) => ask("get", name),
    put: (name, value) => ask("put", name, value),
    delete: (name) => ask("delete", name),
    page: (prefix, options) => ask("page", prefix, options),
  };
}
