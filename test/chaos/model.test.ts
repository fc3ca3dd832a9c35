// The judge is judged: what it must let pass, and what it must not.
import { expect, test } from "bun:test";
import { isLive, KeyModel, type Change, type Outcome } from "./model";

const put = (md5: string): Change => ({ kind: "PUT", md5 });
const remove: Change = { kind: "DELETE" };
const unlink: Change = { kind: "UNLINK" };

/** A key for which these changes have been made one after the other. */
function after(...changes: [Change, Outcome][]): KeyModel {
  const model = new KeyModel("/key");
  for (const [change, outcome] of changes) model.end(model.begin(change), outcome, outcome);
  return model;
}

function read(model: KeyModel, md5: string | undefined): void {
  model.saw(model.watch(), md5 === undefined ? (state) => !isLive(state) : (state) => state === `live ${md5}`, "GET");
}

test("an acknowledged value is the only one that may be read", () => {
  read(after([put("a"), "done"]), "a");
  expect(() => read(after([put("a"), "done"]), "b")).toThrow("/key: GET, and it can only be live a");
  expect(() => read(after([put("a"), "done"]), undefined)).toThrow();
});

test("a key that is deleted, unlinked or never written must not be read", () => {
  for (const changes of [[], [[remove, "done"]], [[unlink, "done"]]] as [Change, Outcome][][]) {
    const model = changes.length === 0 ? after() : after([put("a"), "done"], ...changes);
    read(model, undefined);
    expect(() => read(model, "a")).toThrow();
  }
});

test("a failed write must never be read, a cut off one may", () => {
  expect(() => read(after([put("a"), "failed"]), "a")).toThrow();
  read(after([put("a"), "cut off"]), "a");
  read(after([put("a"), "cut off"]), undefined);
});

test("what has once been seen stays so", () => {
  const model = after([put("a"), "cut off"]);
  read(model, undefined);
  expect(() => read(model, "a")).toThrow();
  const other = after([put("a"), "cut off"]);
  read(other, "a");
  expect(() => read(other, undefined)).toThrow();
});

test("a value is never overwritten, and never said to exist where there is none", () => {
  expect(() => after([put("a"), "done"], [put("b"), "done"])).toThrow();
  expect(() => after([put("a"), "denied"])).toThrow();
  after([put("a"), "cut off"], [put("b"), "denied"]);
  expect(() => after([put("a"), "done"], [remove, "denied"])).toThrow();
});

test("of two writes at once either may win, but what neither wrote is a violation", () => {
  const model = new KeyModel("/key");
  const [a, b] = [model.begin(put("a")), model.begin(put("b"))];
  model.end(a, "done", "201");
  model.end(b, "busy", "409");
  read(model, "a");
  expect(() => read(model, "c")).toThrow();
});

test("a read that overlaps with a delete may show the key or not", () => {
  for (const md5 of ["a", undefined]) {
    const model = after([put("a"), "done"]);
    const watch = model.watch();
    model.end(model.begin(remove), "done", "204");
    model.saw(watch, md5 === undefined ? (state) => !isLive(state) : (state) => state === `live ${md5}`, "GET");
    expect(() => read(model, "a")).toThrow();
  }
});

test("a change that was given up may come true late, but not after one that came long after it", () => {
  const model = after([put("a"), "done"]);
  model.end(model.begin(remove), "given up", "gone");
  read(model, "a");
  read(model, undefined);
  const later = model.begin(put("b"), performance.now() + 60_000);
  model.end(later, "done", "201");
  read(model, "b");
  expect(() => read(model, undefined)).toThrow();
});

test("an unlinked key stays unlinked whatever becomes of a write over it", () => {
  for (const outcome of ["busy", "not sent"] as const) {
    const model = after([put("a"), "done"], [unlink, "done"], [put("b"), outcome]);
    expect([...model.possible()]).toEqual(["unlinked"]);
  }
  const failed = after([put("a"), "done"], [unlink, "done"], [put("b"), "failed"]);
  expect([...failed.possible()].sort()).toEqual(["absent", "hollow"]); // It may have no files: a repair forgets it.
  const cut = after([put("a"), "done"], [unlink, "done"], [put("b"), "cut off"]);
  expect([...cut.possible()].sort()).toEqual(["absent", "hollow", "live b", "unlinked"]);
});

test("a write that fails leaves nothing, and a DELETE that was acknowledged is done", () => {
  expect([...after([put("a"), "failed"]).possible()]).toEqual(["absent"]);
  expect(() => after([put("a"), "failed"], [remove, "done"])).toThrow();
  expect([...after([put("a"), "done"], [remove, "cut off"]).possible()].sort()).toEqual(["absent", "live a"]);
  expect(() => after([put("a"), "done"], [remove, "done"], [unlink, "done"])).toThrow();
});

test("an older index that is put back loses no live value; what was deleted may come back", () => {
  const live = after([put("a"), "done"], [remove, "done"], [put("b"), "done"]);
  live.putBack();
  expect([...live.possible()]).toEqual(["live b"]);
  const gone = after([put("a"), "done"], [remove, "done"]);
  gone.putBack();
  expect([...gone.possible()].sort()).toEqual(["absent", "hollow", "live a", "unlinked"]);
  expect(() => read(gone, "b")).toThrow();
});
