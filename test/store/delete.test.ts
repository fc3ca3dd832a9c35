// Over a ledger where too much is owed already.
import { expect, test } from "bun:test";
import { limits } from "../../src/limits";
import { deleteKey } from "../../src/store/delete";
import { asItIs } from "../../src/store/forward";
import { type Store } from "../../src/store/store";
import { codeOf, debt, holding, keyOf, openLevel } from "../ledger/ledgers";
import { limited } from "../support/limited";

test("a DELETE that finds no room unlinks the key; one that asks for a live one leaves it, and may ask again", async () => {
  await using at = await openLevel();
  using _few = limited(limits, { debts: 1 });
  const [native, s3] = [keyOf("/native"), keyOf("/bucket/s3")];
  for (const key of [native, s3]) await (await at.one.claim(key, asItIs)).end(holding("a:1"));
  await using _other = await at.one.claim(keyOf("/other"), () => ({ record: undefined, owed: [debt("a:1")] }));
  const store = { ledger: at.one, protect: false, volumes: {}, currentName: String } as unknown as Store;
  for (let time = 0; time < 2; time++) {
    expect(await codeOf(deleteKey(store, s3, () => {}))).toBe("too-much-owed");
    expect((await at.one.get(s3))?.state).toBe("live");
    expect(await codeOf(deleteKey(store, native))).toBe("too-much-owed");
    expect((await at.one.get(native))?.state).toBe("unlinked");
  }
});
