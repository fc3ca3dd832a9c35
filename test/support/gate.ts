// Owns a gate in front of a real volume server: the master talks to the gate, the gate to nginx. It holds requests of a
// method at a point of their way, so that a test can have the world end exactly there.
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { until } from "./until";

/**
 * Where a request is held. `arrival`: the volume hears nothing of it. `body`: it has the head and the first bytes of the
 * body. `answer`: it has done what it was asked, and only its answer is held.
 */
export type Point = "arrival" | "body" | "answer";

const FIRST_BYTES = 100;

/** What stands for the method of requests for how far the store has come, and of those that note it. */
export const NOTE = "note";

/** The same of requests for a sign of life: a rule for so many of another kind is not used up by them. */
const SIGN = "sign of life";

export interface Hold {
  /** So many requests; the others pass. All of them where nothing is said. */
  times?: number;
  /** What the sender takes back while it is held arrives all the same, when the gate is open again. */
  late?: boolean;
}

interface Rule extends Hold {
  point: Point | "cut" | "broken";
}

export class Gate implements AsyncDisposable {
  private readonly rules = new Map<string, Rule>();
  private readonly passages = new Set<Passage>();
  private readonly held: string[] = [];
  /** Requests that arrived late and have been done. */
  lateArrivals = 0;

  private constructor(
    private readonly server: Server,
    private readonly behind: () => number,
  ) {}

  get address(): string {
    return `localhost:${(this.server.address() as AddressInfo).port}`;
  }

  /** From now on holds the requests of this method at this point. What their sender takes back meanwhile never arrives. */
  hold(method: string, point: Point, how: Hold = {}): void {
    this.rules.set(method, { point, ...how });
  }

  /** From now on breaks the connection in the middle of the body of every request of this method. */
  cut(method: string): void {
    this.rules.set(method, { point: "cut" });
  }

  /** From now on breaks off the answer to every GET of this path behind its head, as nginx does where it cannot read the file. */
  breakOff(path: string): void {
    this.rules.set(`GET ${path}`, { point: "broken" });
  }

  /** Waits until so many requests of this method have been held since the gate was last open. */
  async holds(method: string, count = 1): Promise<void> {
    const enough = () => this.held.filter((other) => other === method).length >= count;
    await until(enough, { what: `${count} ${method} held before ${this.address}`, deadlineMs: 20_000 });
  }

  /** Waits until every sender is gone, as they are soon after their process: what they sent does not count any more. */
  async isDeserted(): Promise<void> {
    const deserted = () => [...this.passages].every((passage) => passage.isDeserted);
    await until(deserted, { what: `nobody talks to ${this.address}` });
  }

  /** Lets pass what is held, and all that comes; of one method alone, if one is named. */
  open(method?: string): void {
    for (const name of method === undefined ? [...this.rules.keys()] : [method]) this.rules.delete(name);
    if (method === undefined) this.held.length = 0;
    for (const passage of this.passages) if (method === undefined || passage.method === method) passage.release();
  }

  /** The rule for a request of this method that comes now. */
  applied(method: string): Rule | undefined {
    const rule = this.rules.get(method);
    if (rule?.times === undefined) return rule;
    return rule.times-- > 0 ? rule : undefined;
  }

  note(method: string): void {
    this.held.push(method);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.passages.forEach((passage) => passage.close());
    await closed;
  }

  /** @param behind the port of the volume server, asked for with every connection */
  static async start(behind: () => number): Promise<Gate> {
    const server = createServer((client) => {
      const volume = connect({ port: gate.behind(), host: "127.0.0.1", noDelay: true });
      const passage = new Passage(gate, client, volume);
      gate.passages.add(passage);
      volume.on("close", () => gate.passages.delete(passage));
    });
    const gate = new Gate(server, behind);
    await new Promise<void>((resolve) => server.listen(0, resolve));
    return gate;
  }
}

/** One connection of the master, with the one to nginx that belongs to it. Requests come one after the other. */
class Passage {
  private heldUp: Buffer[] | undefined; // What waits to go to the volume, if it must wait.
  private heldDown: Buffer[] | undefined;
  method: string | undefined; // Of the request that is under way.
  private isBroken = false; // Its answer is broken off.
  private isLate = false;
  private wasLate = false; // Others that were under way when their sender died do not count as late.

  constructor(
    private readonly gate: Gate,
    private readonly client: Socket,
    private readonly volume: Socket,
  ) {
    client.setNoDelay(true);
    client.on("data", (data: Buffer) => this.up(data)).on("drain", () => volume.resume());
    volume.on("data", (data: Buffer) => this.down(data)).on("drain", () => client.resume());
    client.on("close", () => this.left()).on("error", () => this.left());
    volume.on("end", () => client.end()).on("error", () => this.close()); // An answer that is complete still arrives.
  }

  get isDeserted(): boolean {
    return this.client.destroyed || this.client.closed;
  }

  release(): void {
    if (this.isDeserted && !this.isLate) return this.close();
    const [up, down] = [this.heldUp, this.heldDown];
    this.heldUp = this.heldDown = undefined;
    this.isLate = false;
    up?.forEach((data) => this.volume.write(data));
    down?.forEach((data) => this.down(data));
  }

  /** The sender has taken back what it sent. */
  private left(): void {
    if (!this.isLate) this.close();
  }

  close(): void {
    this.client.destroy();
    this.volume.destroy();
  }

  private up(data: Buffer): void {
    if (this.heldUp) return void this.heldUp.push(data);
    if (this.method !== undefined) return this.forward(data);
    const [method, path] = data.toString("latin1", 0, 200).split(" ", 2) as [string, string];
    this.method = path.endsWith("/mkv/epoch") ? NOTE : path === "/" ? SIGN : method;
    const rule = this.gate.applied(`${method} ${path}`) ?? this.gate.applied(this.method);
    this.isBroken = rule?.point === "broken";
    if (rule === undefined || this.isBroken) return this.forward(data);
    this.isLate = this.wasLate = rule.late ?? false;
    if (rule.point === "answer") {
      this.heldDown = [];
      return this.forward(data);
    }
    // The head comes in one piece, since the master writes it in one.
    const most = rule.point === "arrival" ? 0 : data.indexOf("\r\n\r\n") + 4 + FIRST_BYTES;
    this.volume.write(data.subarray(0, most));
    this.heldUp = [data.subarray(most)];
    if (rule.point === "cut") this.close();
    else this.gate.note(this.method);
  }

  private down(data: Buffer): void {
    if (this.heldDown) {
      if (this.heldDown.length === 0) this.gate.note(this.method!);
      return void this.heldDown.push(data);
    }
    this.method = undefined;
    if (this.isBroken) {
      this.client.end(data.subarray(0, data.indexOf("\r\n\r\n") + 4));
      return void this.volume.destroy();
    }
    if (this.client.destroyed) {
      if (this.wasLate) this.gate.lateArrivals++;
      return this.close();
    }
    if (!this.client.write(data)) this.volume.pause();
  }

  private forward(data: Buffer): void {
    if (!this.volume.write(data)) this.client.pause();
  }
}
