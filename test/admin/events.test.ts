// What happens to a store can be read in its log, one line each, whatever clients and volumes put into it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { eventsIn } from "../support/events";
import { dial, head, raw } from "../support/http";
import { basic } from "../support/password";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test("a volume that goes and comes back is told of once each, after what is served", async () => {
  await using cluster = await startCluster({ flags: ["-bind", "127.0.0.1"] });
  const [volume] = cluster.volumes;
  const told = (what: string) =>
    until(
      () => eventsIn(cluster.master.process.stderr).find((text) => text.startsWith(`${volume!.address} is ${what}`)),
      {
        what: `it is told that a volume is ${what}`,
      },
    );
  await volume!.kill();
  await told("down");
  await volume!.start();
  await told("back");
  await cluster.master.stop();
  const events = eventsIn(cluster.master.process.stderr);
  expect(events).toEqual([
    expect.stringMatching(/^a new index is made at /),
    expect.stringMatching(/^listening on port \d+ of 127\.0\.0\.1, 3 volumes, 3 replicas, 2 threads$/),
    expect.stringMatching(/^localhost:\d+ is down: /),
    expect.stringMatching(/^localhost:\d+ is back, after \d+ s$/),
    "stopping: running requests end first",
  ]);
  await volume!.kill();
  await cluster.startMaster();
  expect(cluster.master.output).toContain(", 3 volumes (1 not heard of yet), 3 replicas");
});

test("volumes that answer are not called down by a master that starts after a crash", async () => {
  await using cluster = await startCluster();
  using client = await dial(cluster.master.port);
  client.write(head({ method: "PUT", target: "/half", headers: { "Content-Length": "1000" } }, { close: true }));
  await until(() => isUnderWay(cluster.master.port, "/half"), { what: "a write has begun" });
  await cluster.master.kill();
  await cluster.startMaster();
  await cluster.store("/other");
  await cluster.master.stop();
  expect(eventsIn(cluster.master.process.stderr)).toEqual([
    expect.stringMatching(/^listening on port \d+, 3 volumes \(3 not heard of yet\), /),
    "stopping: running requests end first",
  ]);
});

/** Targets as clients may send them, and how a log shows their path: as URLs are, escaped. */
const ODD: [target: string, status: number][] = [
  ["/plain", 404],
  ["/%0a%22%5c%00%1b[31m", 404],
  ['/"quoted"\\back', 404],
  ["/%e2%80%a8%ff%fe", 404],
  ["/x?list&start=%0a", 200],
];
const ODD_USER = { user: 'o"d\\d \u202e\u2028é', password: "secret-word" };

test.each(["json", "plain"])("no client can break a line of the %s log, nor write a password there", async (format) => {
  await using cluster = await startCluster({ login: ODD_USER, flags: ["-basicauth", "-v", "-log", format] });
  const headers = { Authorization: Buffer.from(basic(ODD_USER)).toString("latin1") };
  for (const [target, status] of ODD) expect((await cluster.ask("GET", target, { headers })).status).toBe(status);
  expect((await cluster.ask("PUT", "/kept", { headers, body: "twelve bytes" })).status).toBe(201);
  expect((await cluster.ask("GET", "/kept", { headers })).status).toBe(302);
  const refused = await cluster.ask("GET", "/kept");
  expect(refused.status).toBe(401);
  await raw(cluster.master.port, "GET /\x01\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").catch(() => {});
  await cluster.master.stop();
  const log = cluster.master.process.stderr;
  expect(log).not.toContain(ODD_USER.password);
  expect(log).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]/);
  const asked = format === "json" ? fromJson(log) : fromPlain(log);
  const of = (path: string) => asked.filter((each) => each.path === path).toSorted((a, b) => a.status - b.status); // Threads log by themselves.
  expect(of("/kept")).toEqual([
    { ...mine, method: "PUT", path: "/kept", status: 201, bytes: 12, volume: expect.stringMatching(/^(\S+,){2}\S+$/) },
    {
      ...mine,
      method: "GET",
      path: "/kept",
      status: 302,
      bytes: 0,
      volume: expect.stringMatching(/^localhost:\d+\/sv0\d$/),
    },
    { ...mine, user: "", method: "GET", path: "/kept", status: 401, bytes: refused.body.length, volume: "" },
  ]);
  expect(of("/plain")).toEqual([{ ...mine, method: "GET", path: "/plain", status: 404, bytes: 0, volume: "" }]);
  expect(of("/x?list&start=%0a")[0]!.bytes).toBe('{"next":"","keys":[]}'.length);
  expect(asked.length).toBeGreaterThanOrEqual(ODD.length + 3);
});

type Asked = {
  client: string;
  user: string;
  method: string;
  path: string;
  status: number;
  bytes: number;
  volume: string;
};
const mine = { client: "127.0.0.1", user: ODD_USER.user };

function fromJson(log: string): Asked[] {
  const lines = log
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Asked & Record<string, unknown>);
  for (const { time, level, message } of lines) {
    expect(new Date(time as string).toISOString()).toBe(time as string);
    expect([level, typeof message]).toEqual([expect.stringMatching(/^(info|warn|error)$/), "string"]);
  }
  return lines
    .filter(({ method }) => method !== undefined)
    .map(({ client, user, method, path, status, bytes, seconds, volume }) => {
      expect(seconds).toBeGreaterThan(0);
      return { client, user, method, path, status, bytes, volume };
    });
}

function fromPlain(log: string): Asked[] {
  const line = /^(\S+) (-|\S+|".*?(?<!\\)") "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) (\d+\.\d{6}) (\S+)$/;
  return eventsIn(log).flatMap((text) => {
    const [, client, user, asked, status, bytes, seconds, volume] = line.exec(text) ?? [];
    if (asked === undefined) return [];
    expect(Number(seconds)).toBeGreaterThan(0);
    const [method, path] = (JSON.parse(`"${asked}"`) as string).split(" ") as [string, string];
    const name = user === "-" ? "" : (JSON.parse(user!) as string);
    const where = volume === "-" ? "" : volume!;
    return [{ client: client!, user: name, method, path, status: Number(status), bytes: Number(bytes), volume: where }];
  });
}
