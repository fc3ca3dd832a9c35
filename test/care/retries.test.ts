// A key that cannot be healed is tried ever more rarely, and at once when something has changed.
import { expect, test } from "bun:test";
import { parseKey } from "../../src/format/key";
import { Retries } from "../../src/store/care/care";

test("a key that has failed is not due in the next round, others are; when something has changed it is", () => {
  const retries = new Retries();
  const [bad, good] = ["/bad", "/good"].map((name) => ({ key: parseKey(name), hint: { why: "damaged" } as const }));
  expect(retries.isDue(bad!)).toBe(true);
  retries.failed(bad!);
  retries.endRound();
  for (let i = 0; i < 3; i++) {
    expect([bad!, good!].map((hinted) => retries.isDue(hinted))).toEqual([false, true]);
    retries.endRound();
  }
  retries.clear();
  expect(retries.isDue(bad!)).toBe(true);
});
