// Where a job was that was killed counts only for as long as what it had done still holds.
import { expect, test } from "bun:test";
import { type Age, type Ledger, type Memory } from "../../src/ledger/ledger";
import { type Begun, forgetBegun, recallJob, rememberJob } from "../../src/store/job-memory";
import { rememberLeft, rememberPutBack } from "../../src/store/places/put-back";

const begun = (atMs: number): Begun => ({
  ...{ task: "this", sinceMs: 0, atMs, over: "keys", after: "/key", counts: { keys: 5 }, later: [], isForeign: false },
});
const ended = { atMs: 1, seconds: 2, counts: { keys: 7 } };

function memoryOf(): Memory & { readonly values: Map<string, object> } {
  const values = new Map<string, object>();
  return {
    values,
    get: (name: string) => values.get(name),
    page: async (prefix: string) => [...values].filter(([name]) => name.startsWith(prefix)),
    put: async (name: string, value: object) => void values.set(name, value),
  } as unknown as Memory & { values: Map<string, object> };
}

const storeOf = (memory: Memory, age: Age) => ({
  topology: { volumes: ["a:1"], replicas: 1, subvolumes: 1 },
  ledger: { memory, age } as Ledger,
  currentName: (name: string) => name,
});

/** The task that is recalled, after this was done to what is remembered. */
async function recalled(
  change: (memory: ReturnType<typeof memoryOf>) => unknown,
  age: Age = "current",
  atMs = Date.now(),
) {
  const memory = memoryOf();
  await rememberJob(memory, "verify", { begun: begun(atMs), ended });
  await change(memory);
  const found = await recallJob(storeOf(memory, age), "verify");
  expect(found?.ended).toEqual(ended);
  return found?.begun?.task;
}

test("a job that was killed a moment ago goes on", async () => {
  expect(await recalled(() => {})).toBe("this");
});

const restarted = (memory: ReturnType<typeof memoryOf>) => {
  const [[name, value]] = [...memory.values] as [[string, object]];
  memory.values.set(name, { ...value, boot: "another" });
};

const putBack = (memory: ReturnType<typeof memoryOf>) => rememberPutBack(memory, "a:1", { isEarlier: true });
const leftBehind = (memory: ReturnType<typeof memoryOf>) => rememberLeft(memory, "gone:1");

test("a job that leaves copies behind, on a volume that is nobody's any more, goes on where it was killed", async () => {
  expect(await recalled(leftBehind)).toBe("this");
});

test.each<[string, (memory: ReturnType<typeof memoryOf>) => unknown, Age, number]>([
  ["after a restart of the machine, which may have lost what it did", restarted, "current", 0],
  ["after a disk has lost what was written to it", putBack, "current", 0],
  ["over an older ledger", () => {}, "older", 0],
  ["after a disk was replaced, or the index made anew", (memory: Memory) => forgetBegun(memory), "current", 0],
  ["two days later", () => {}, "current", 48 * 3_600_000],
])("%s it begins anew", async (_, change, age, agoMs) => {
  expect(await recalled(change, age, Date.now() - agoMs)).toBe("");
});
