// More connections than the master may have open files, and connections that something on the way has forgotten.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { dial, follow, head, request } from "../support/http";
import { mkv, startMaster } from "../support/master";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const FILES = 256;

/** A master that may open few files, over these volumes. */
async function startPoor(
  volumes: readonly Volume[],
  folder: string,
  threads: number,
): Promise<{ port: number; process: RunningProcess }> {
  const addresses = volumes.map(({ address }) => address).join(",");
  const args = ["-port", "0", "-threads", `${threads}`, "-db", join(folder, "index"), "-volumes", addresses, "server"];
  const process = new RunningProcess({ command: ["prlimit", `--nofile=${FILES}:${FILES}`, ...mkv(args)] });
  const [, port] = await process.says(/listening on port (\d+)/);
  return { port: Number(port), process };
}

/** A master with few files, its volumes, and their end. */
async function poorCluster(threads = 1): Promise<{ port: number; process: RunningProcess } & AsyncDisposable> {
  const held = new AsyncDisposableStack();
  const folder = held.use(temporaryFolder());
  const volumes = [];
  for (let i = 0; i < 3; i++) volumes.push(held.use(await startVolume()));
  const poor = await startPoor(volumes, folder.path, threads);
  held.use(poor.process);
  return { ...poor, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** So many connections, on each of which this was sent; those that the system did not give are passed over. */
async function hold(
  port: number,
  count: number,
  bytes: string | Uint8Array,
): Promise<Disposable & { sockets: Socket[] }> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: "127.0.0.1" }));
  for (const socket of sockets)
    socket
      .on("error", () => {})
      .on("data", () => {})
      .write(bytes);
  await Bun.sleep(300);
  return { sockets, [Symbol.dispose]: () => sockets.forEach((socket) => socket.destroy()) };
}

/** Waits until a client that behaves is served: a PUT, a GET and a DELETE. */
async function expectServed(port: number): Promise<void> {
  const key = `/served-${crypto.randomUUID()}`;
  const does = async (method: string, statuses: number[], body?: string) =>
    await until(
      () =>
        request(port, { method, target: key, ...(body && { body }), timeoutMs: 2_000 }).then(
          ({ status }) => statuses.includes(status),
          () => false,
        ),
      { what: `${method} is served`, deadlineMs: 45_000 },
    );
  await does("PUT", [201, 403], "value"); // 403 if an earlier answer came too late.
  await does("GET", [302]);
  await does("DELETE", [204, 404]);
}

const answered: [string, string][] = [
  ["a DELETE", "DELETE /absent HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a POST", "POST /absent?rebalance HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
  ["a refused PUT", "PUT /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"],
  ["a GET", "GET /absent HTTP/1.1\r\nHost: a\r\n\r\n"],
];

test.concurrent.each(answered)("clients that keep their connection after %s hang nobody else", async (_, bytes) => {
  await using poor = await poorCluster();
  using _held = await hold(poor.port, FILES + 60, bytes);
  await expectServed(poor.port);
  expect(poor.process.ended).toBe(false);
});

test.concurrent("clients that connect and say nothing, or half a head, end nothing, and are gone soon", async () => {
  await using poor = await poorCluster();
  using _silent = await hold(poor.port, FILES - 60, "");
  using _half = await hold(poor.port, 120, "GET / HT");
  await poor.process.says(/open files are in use/);
  await expectServed(poor.port);
  expect(poor.process.ended).toBe(false);
});

test.concurrent("a connection that was open before serves on, and a large PUT on it gets an answer", async () => {
  await using poor = await poorCluster();
  using wire = await dial(poor.port);
  wire.write(head({ method: "GET", target: "/absent" }, { close: false }));
  expect((await wire.answer()).status).toBe(404);
  using _held = await hold(poor.port, FILES + 60, "");
  await poor.process.says(/open files are in use/);
  const body = new Uint8Array(3_000_000);
  wire.write(head({ method: "PUT", target: "/large", body }, { close: false }));
  wire.write(body);
  expect([201, 503]).toContain((await wire.answer()).status);
  expect(poor.process.ended).toBe(false);
  await expectServed(poor.port);
  expect(poor.process.stderr).not.toMatch(/make room|space/);
});

test.concurrent(
  "a hundred slow PUTs get 503 where there are no connections for them; the volumes do not count as down",
  async () => {
    await using poor = await poorCluster();
    const slow = head(
      { method: "PUT", target: "/slow-KEY", headers: { "Content-Length": "400000" } },
      { close: false },
    );
    const sockets = Array.from({ length: 100 }, () => connect({ port: poor.port, host: "127.0.0.1" }));
    const statuses: string[] = [];
    sockets.forEach((socket, i) => {
      socket.on("error", () => {}).on("data", (data) => statuses.push(data.toString().slice(9, 12)));
      socket.write(slow.toString().replace("KEY", String(i)));
      socket.write(new Uint8Array(200_000));
    });
    await until(() => statuses.length >= 60, { what: "most of them are refused", deadlineMs: 5_000 });
    expect(new Set(statuses)).toEqual(new Set(["503"]));
    sockets.forEach((socket) => socket.destroy());
    await expectServed(poor.port);
    expect(poor.process.stderr).not.toMatch(/has not answered|is down/);
  },
);

test.concurrent("what a rush of deletes took of files for volumes is free again soon, on all threads", async () => {
  await using poor = await poorCluster(4);
  const files = () => readdirSync(`/proc/${poor.process.pid}/fd`).length;
  const before = files();
  const keys = Array.from({ length: 60 }, (_, i) => `/rush-${i}`);
  const crowded = async () => {
    for (const target of keys) await request(poor.port, { method: "PUT", target, body: "x" });
    const wires = await Promise.all(keys.map(() => dial(poor.port)));
    wires.forEach((wire, i) => wire.write(head({ method: "DELETE", target: keys[i]! }, { close: true })));
    await Promise.allSettled(wires.map((wire) => wire.answer()));
    wires.forEach((wire) => wire[Symbol.dispose]());
    return (await request(poor.port, { target: "/absent" })).status === 503;
  };
  await until(crowded, { what: "nobody is let in", deadlineMs: 20_000 });
  await until(() => files() < before + 20, { what: "they are closed", deadlineMs: 20_000 });
  await expectServed(poor.port);
});

/** A way to a volume that can forget its connections: nothing comes through those any more, in silence. */
class Forgetful implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  #age = 0;

  private constructor(
    readonly port: number,
    private readonly close: () => void,
  ) {}

  static async before(volume: Volume): Promise<Forgetful> {
    let way: Forgetful;
    const server = createServer((client) => way.#join(client, volume)).listen(0);
    await new Promise((resolve) => server.once("listening", resolve));
    way = new Forgetful((server.address() as AddressInfo).port, () => server.close());
    return way;
  }

  forget(): void {
    this.#age++;
  }

  #join(client: Socket, volume: Volume): void {
    const born = this.#age;
    const server = connect({ port: Number(volume.address.split(":")[1]), host: "127.0.0.1" });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (data) => void (born === this.#age && to.write(data)));
      from.on("error", () => {}).on("close", () => born === this.#age && to.destroy());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

// By itself: its ways are in this process, which the others keep busy.
test("connections to volumes that were forgotten on the way cost no write and no delete its answer", async () => {
  await using held = new AsyncDisposableStack();
  const ways: Forgetful[] = [];
  for (let i = 0; i < 3; i++) ways.push(held.use(await Forgetful.before(held.use(await startVolume()))));
  const master = held.use(
    await startMaster({
      volumes: ways.map(({ port }) => `localhost:${port}`),
      flags: ["-threads", "1", "-voltimeout", "10s"],
    }),
  );
  const ask = async (method: string, target: string, body?: string | Uint8Array) => {
    const startMs = performance.now();
    const { status } = await request(master.port, { method, target, ...(body && { body }) });
    return { status, isSoon: performance.now() - startMs < 8_000 };
  };
  const large = new Uint8Array(1_000_000);
  for (const key of ["/a", "/b", "/c"]) expect((await ask("PUT", key, "x")).status).toBe(201);
  expect((await ask("PUT", "/large", large)).status).toBe(201);
  for (let round = 0; round < 3; round++) {
    for (const [method, body, status] of [
      ["PUT", "x", 201],
      ["PUT", large, 201],
      ["DELETE", undefined, 204],
    ] as const) {
      const target = `/round-${round}-${method === "DELETE" ? "x" : typeof body}`;
      if (method === "DELETE") expect((await ask("PUT", target, "x")).status).toBe(201);
      for (const way of ways) way.forget();
      await Bun.sleep(300);
      expect([method, await ask(method, target, body)]).toEqual([method, { status, isSoon: true }]);
    }
  }
  await until(async () => (await ask("GET", "/a")).status === 302, { what: "values are found" });
});

test.concurrent.skipIf(!process.env.MKV_LONG)(
  "after any answer a connection is kept for more than 75 seconds, and not for ever",
  async () => {
    await using cluster: Cluster = await startCluster();
    const bytes = [...answered.map(([, text]) => text), "PUT /kept HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"];
    const startMs = performance.now();
    const closedMs = bytes.map((text) => {
      const socket = connect({ port: cluster.master.port, host: "127.0.0.1" });
      socket.on("data", () => {}).write(text);
      return new Promise<number>((resolve) => socket.once("close", () => resolve(performance.now() - startMs)));
    });
    for (const ms of await Promise.all(closedMs)) expect([ms > 75_000, ms < 120_000]).toEqual([true, true]);
    expect((await follow(await cluster.ask("GET", "/kept"))).text).toBe("x");
  },
  150_000,
);
