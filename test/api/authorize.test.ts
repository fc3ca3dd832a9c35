import { afterEach, expect, mock, spyOn, test } from "bun:test";
import { Authorizer } from "../../src/api/authorize";
import { MkvError } from "../../src/errors";
import { limits } from "../../src/limits";
import { type Volumes } from "../../src/volumes/volumes";
import { limited } from "../support/limited";

afterEach(() => mock.restore());
const header = (password: string) => `Basic ${Buffer.from(`admin:${password}`).toString("base64")}`;

/** An authorizer over volumes that let in whoever knows this password, which may change; and how often each was asked. */
function authorizerOver(volumes: Record<string, "closed" | "open" | "down">, good: { password: string }) {
  const asked: string[] = [];
  const topology = { volumes: Object.keys(volumes), replicas: 1, subvolumes: 10 };
  const as = (credentials: string) => ({
    topology,
    health: { isUp: (name: string) => volumes[name] !== "down" },
    async checkUser(name: string) {
      asked.push(name);
      if (volumes[name] === "down") throw new MkvError("timeout", `${name} is down`);
      if (volumes[name] === "open") return "unprotected";
      return credentials === header(good.password) ? "good" : "wrong";
    },
  });
  return { authorizer: new Authorizer({ as } as unknown as Volumes), asked };
}

const outcome = (answer: Promise<unknown>) =>
  answer.then(
    () => "in",
    (error: MkvError) => error.code,
  );

test("a guess is asked of each volume once at most, and of none if it was refused just now", async () => {
  const { authorizer, asked } = authorizerOver({ "a:1": "down", "b:1": "open", "c:1": "closed" }, { password: "x" });
  const guesses = Array.from({ length: 20 }, () => outcome(authorizer.check(header("guess"), "192.0.2.1")));
  expect(new Set(await Promise.all(guesses))).toEqual(new Set(["unauthorized"]));
  expect(asked).toEqual(["b:1", "c:1"]); // One that is down comes last.
  expect(await outcome(authorizer.check(header("guess"), "192.0.2.2"))).toBe("unauthorized");
  expect(asked.length).toBe(2);
});

test("who was let in before does not wait behind the guesses of his address", async () => {
  const good = { password: "secret" };
  const { authorizer } = authorizerOver({ "a:1": "closed" }, good);
  const address = "192.0.2.1";
  await authorizer.check(header("secret"), address);
  const guesses = Array.from({ length: 12 }, (_, i) => outcome(authorizer.check(header(`guess-${i}`), address)));
  const later = performance.now() + limits.authMs + 1;
  spyOn(performance, "now").mockImplementation(() => later);
  const slow = Promise.all(guesses).then(() => "slow");
  expect(await Promise.race([outcome(authorizer.check(header("secret"), address)), slow])).toBe("in");
  good.password = "changed";
  mock.restore();
  spyOn(performance, "now").mockImplementation(() => later + limits.authMs + 1);
  expect(await Promise.race([outcome(authorizer.check(header("secret"), address)), slow])).toBe("unauthorized");
  mock.restore();
  spyOn(performance, "now").mockImplementation(() => later + 2 * limits.authMs);
  expect(await Promise.race([outcome(authorizer.check(header("secret"), address)), Bun.sleep(50)])).toBe(undefined);
});

test("an address whose guesses wait is refused further ones at once", async () => {
  const { promise: never } = Promise.withResolvers<string>();
  const topology = { volumes: ["a:1"], replicas: 1, subvolumes: 10 };
  const as = () => ({ topology, health: { isUp: () => true }, checkUser: () => never });
  const authorizer = new Authorizer({ as } as unknown as Volumes);
  const guess = (i: number) => outcome(authorizer.check(header(`guess-${i}`), "192.0.2.1"));
  for (let i = 0; i < limits.guessesWaiting; i++) void guess(i);
  expect(await Promise.race([guess(-1), Bun.sleep(100)])).toBe("crowded");
});

test.each<[what: string, forget: (guess: (address: string) => Promise<unknown>) => Promise<unknown>]>([
  [
    "after a while",
    async () => {
      const later = performance.now() + limits.guesserMs + 1;
      spyOn(performance, "now").mockImplementation(() => later);
    },
  ],
  ["when as many others have guessed since", (guess) => Promise.all(["2", "3"].map((i) => guess(`192.0.2.${i}`)))],
])("what an address guessed is forgotten %s", async (_, forget) => {
  using _few = limited(limits, { authEntries: 2 });
  const { authorizer } = authorizerOver({ "a:1": "closed" }, { password: "secret" });
  let guesses = 0;
  const guess = (address: string) => outcome(authorizer.check(header(`guess-${guesses++}`), address));
  const soon = () => Promise.race([guess("192.0.2.1"), Bun.sleep(50)]);
  for (let i = 0; i < limits.guessesFree; i++) expect(await soon()).toBe("unauthorized");
  expect(await soon()).toBe(undefined); // It is slowed down.
  await Bun.sleep(limits.guessPauseMs); // Until that one has been answered.
  await forget(guess);
  expect(await soon()).toBe("unauthorized");
});
