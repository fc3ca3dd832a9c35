// Owns the process that goes rounds: with a master, or with the volumes as a master would. Run with a plan as its
// argument, it prints how many rounds it went.
import { type Topology } from "../../src/format/placement";
import { demand } from "./failure";
import { placeOf, valueOf } from "./shelf";
import { Wire } from "./wire";

/** What rounds to go: with the master on this port, or else with the volumes of this topology. */
export type Rounds = {
  readonly master?: number;
  readonly topology?: Topology;
  readonly clients: number;
  readonly seconds: number;
  /** Length of a value. */
  readonly bytes: number;
  /** What all keys begin with. */
  readonly prefix: string;
};

/** The connections of one client, made when they are needed. */
class Client {
  readonly #wires = new Map<number, Promise<Wire>>();

  async ask(port: number, method: string, path: string, body?: Buffer) {
    let wire = this.#wires.get(port);
    if (!wire) this.#wires.set(port, (wire = Wire.to(port)));
    return await (await wire).ask(method, path, body);
  }

  async expect(status: number, port: number, method: string, path: string, body?: Buffer) {
    const answer = await this.ask(port, method, path, body);
    demand(answer.status === status, `${method} ${path} gives ${answer.status} instead of ${status}`);
    return answer;
  }
}

async function withMaster(client: Client, master: number, key: string, value: Buffer): Promise<void> {
  await client.expect(201, master, "PUT", key, value);
  const { location = "" } = await client.expect(302, master, "GET", key);
  const { port, path } = locate(location);
  const { body } = await client.expect(200, port, "GET", path);
  demand(body.equals(value), `GET ${location} gives another value`);
  await client.expect(204, master, "DELETE", key);
}

async function withVolumes(client: Client, topology: Topology, key: string, value: Buffer): Promise<void> {
  const { path, volumes } = placeOf(key, topology);
  const copies = volumes.map((volume) => locate(`http://${volume}${path}`));
  await Promise.all(copies.map(({ port, path }) => client.expect(201, port, "PUT", path, value)));
  const { port, path: at } = copies[Math.floor(Math.random() * copies.length)]!;
  await client.expect(200, port, "HEAD", at);
  const { body } = await client.expect(200, port, "GET", at);
  demand(body.equals(value), `GET ${path} gives another value`);
  await Promise.all(copies.map(({ port, path }) => client.expect(204, port, "DELETE", path)));
}

function locate(url: string): { port: number; path: string } {
  const slash = url.indexOf("/", 7);
  return { port: Number(url.slice(url.indexOf(":", 7) + 1, slash)), path: url.slice(slash) };
}

async function go(plan: Rounds): Promise<{ rounds: number; seconds: number }> {
  const startedMs = performance.now();
  const endMs = startedMs + plan.seconds * 1000;
  let rounds = 0;
  const clients = Array.from({ length: plan.clients }, async (_, number) => {
    const client = new Client();
    for (let n = 0; performance.now() < endMs; n++) {
      const key = `${plan.prefix}/${number}/${n}`;
      const value = valueOf(key, plan.bytes);
      if (plan.master !== undefined) await withMaster(client, plan.master, key, value);
      else await withVolumes(client, plan.topology!, key, value);
      rounds++;
    }
  });
  await Promise.all(clients);
  return { rounds, seconds: (performance.now() - startedMs) / 1000 };
}

if (import.meta.main) {
  try {
    console.log(JSON.stringify(await go(JSON.parse(process.argv[2]!) as Rounds)));
    process.exit(0); // Connections are still open.
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
