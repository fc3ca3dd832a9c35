// Owns the way of other threads to what the first one remembers beside the index: it alone has that open.
import { type MessagePort } from "node:worker_threads";
import { MkvError, reasonOf } from "../../errors";
import { type Memory, type MemoryPage } from "../ledger";

type Asked =
  | { readonly verb: "get" | "delete"; readonly name: string }
  | { readonly verb: "put"; readonly name: string; readonly value: unknown }
  | { readonly verb: "page"; readonly name: string; readonly options: Parameters<Memory["page"]>[1] };
type Call = Asked & { readonly id: number };
type Answer = { readonly id: number; readonly value?: unknown; readonly failure?: string };

/** Answers what another thread asks of this memory. */
export function serveMemory(memory: Memory, port: MessagePort): void {
  port.on("message", (call: Call) => {
    const { id } = call;
    Promise.resolve(carryOut(memory, call)).then(
      (value) => port.postMessage({ id, value } satisfies Answer),
      (error) => port.postMessage({ id, failure: reasonOf(error) } satisfies Answer),
    );
  });
  port.unref();
}

function carryOut(memory: Memory, call: Call): unknown {
  switch (call.verb) {
    case "get":
      return memory.get(call.name);
    case "put":
      return memory.put(call.name, call.value);
    case "delete":
      return memory.delete(call.name);
    case "page":
      return memory.page(call.name, call.options);
  }
}

/** The memory at the other end of this port. */
export function remoteMemory(port: MessagePort): Memory {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  const ask = (call: Asked): Promise<unknown> => {
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
    page: async (prefix, options) => (await ask({ verb: "page", name: prefix, options })) as MemoryPage,
  };
}
