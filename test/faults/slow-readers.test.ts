// Clients that ask for a long list and do not read it: everybody else is served all the same, the memory for their answers
// has a bound, and they are cut off.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { startCluster, type Cluster } from "../support/cluster";
import { follow, type Answer } from "../support/http";
import { writeRecords } from "../support/records";
import { until } from "../support/until";

setDefaultTimeout(150_000);
const KEYS = 20_000;
const PADDING = "x".repeat(900); // A list is longer than all that the kernel takes off a server's hands.
const MANY = 12; // More than a thread gathers at once, and fewer than it has memory for.
const TOO_MANY = 50; // Their lists have 1 GB, a third of which a kernel takes off a server's hands at most.
const MB = 1024 * 1024;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ flags: ["-threads", "1"] });
  await cluster.master.stop();
  const record = cluster.addresses.map((address) => `${address}/sv00`).join(",");
  const keys = Array.from({ length: KEYS }, (_, i) => `/long/${PADDING}${String(i).padStart(6, "0")}`);
  await writeRecords(
    cluster.db,
    keys.map((key): [string, string] => [key, record]),
  );
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A client that asks for something and reads no more of the answer than its beginning. */
class SlowReader implements Disposable {
  begin = "";

  private constructor(private readonly socket: Socket) {
    socket.on("error", () => {});
    socket.on("data", (data: Buffer) => {
      this.begin ||= data.toString("latin1");
      socket.pause();
    });
  }

  static async ask(port: number, target: string): Promise<SlowReader> {
    const socket = connect({ port, host: "127.0.0.1" });
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    const reader = new SlowReader(socket);
    socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    return reader;
  }

  /** Goes away in the middle. */
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** So many of them, all of whom have the beginning of an answer. */
async function slowReaders(count: number, target: string): Promise<SlowReader[] & Disposable> {
  const readers = await Promise.all(Array.from({ length: count }, () => SlowReader.ask(cluster.master.port, target)));
  using undo = new DisposableStack();
  for (const reader of readers) undo.use(reader);
  const begun = () => readers.every(({ begin }) => begin !== "");
  await until(begun, { what: `${count} answers have begun`, deadlineMs: 100_000 });
  const held = undo.move();
  return Object.assign(readers, { [Symbol.dispose]: () => held.dispose() });
}

function expectWhole(list: Answer): void {
  const { next, keys } = JSON.parse(list.text) as { next: string; keys: string[] };
  expect([list.status, next, keys.length]).toEqual([200, "", KEYS]);
}

test.each(["list", "records"])(
  "while clients do not read what they asked ?%s for, all other requests work, a further list among them",
  async (operation) => {
    await cluster.startMaster();
    const ask = () => cluster.ask("GET", `/long?${operation}`);
    expectWhole(await ask());
    const [key, value] = [`/quick-${operation}`, "quick"];
    {
      using _slow = await slowReaders(MANY, `/long?${operation}`);
      expectWhole(await ask());
      const page = await cluster.ask("GET", `/long?${operation}&limit=1000`, { timeoutMs: 2_000 });
      expect(JSON.parse(page.text).keys.length).toBe(1000);
      expect((await cluster.ask("PUT", key, { body: value })).status).toBe(201);
      expect((await follow(await cluster.ask("GET", key))).text).toBe(value);
      expect((await cluster.ask("GET", "/absent")).status).toBe(404);
      expect((await cluster.ask("UNLINK", key)).status).toBe(204);
      expect((await cluster.ask("DELETE", key)).status).toBe(204);
    }
    expectWhole(await ask());
  },
);

test("lists that nobody reads have a bound: further ones are 503, pages work, and in the end the readers are cut", async () => {
  await cluster.startMaster();
  using readers = await slowReaders(TOO_MANY, "/long?list");
  const refused = readers.filter(({ begin }) => begin.startsWith("HTTP/1.1 503"));
  expect(refused.length).toBeGreaterThan(0);
  for (const { begin } of refused) expect(begin).toMatch(/limit=1000/);
  for (let i = 0; i < 10; i++) expect((await cluster.ask("GET", "/long?list&limit=1000")).status).toBe(200);
  expect(cluster.master.rssBytes()).toBeLessThan(1000 * MB);
  const ask = () => cluster.ask("GET", "/long?list", { timeoutMs: 60_000 });
  const again = async () => {
    await Bun.sleep(1_000); // Eight long lists at once, again and again, would keep the machine from all else.
    return (await Promise.all(Array.from({ length: 8 }, ask))).every(({ status }) => status === 200);
  };
  await until(again, { what: "slow readers are cut off", deadlineMs: 100_000 });
});

test("clients that go away, at whatever moment, are waited for by nobody", async () => {
  await cluster.startMaster();
  const gone = Array.from({ length: 40 }, async (_, i) => {
    using _reader = await SlowReader.ask(cluster.master.port, "/long?list");
    await Bun.sleep(i * 40); // From before the list is begun until after its first bytes have come.
  });
  await Promise.all(gone);
  for (let i = 0; i < 5; i++) expectWhole(await cluster.ask("GET", "/long?list"));
  const { status } = await cluster.ask("HEAD", "/long?list");
  expect(status).toBe(200);
});
