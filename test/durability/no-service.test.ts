// A master under -sync meets volumes that cannot sync: without the service, or with one that fails.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { homeOf, indexOf } from "../support/copies";
import { temporaryFolder } from "../support/folder";
import { follow, request } from "../support/http";
import { runMkv, startMaster } from "../support/master";
import { basic, passwordFile } from "../support/password";
import { keysOwing, owing } from "../support/journals";
import { pathOf } from "../support/placement";
import { recordOf } from "../support/records";
import { until } from "../support/until";
import { startVolume } from "../support/volume";
import { startMkvVolume } from "./mkv-volume";
import { startWatchedCluster, type WatchedCluster } from "./stand-in";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const ONE_LINE = /^[^\n]{10,400}\n?$/;

/** Nothing of the key is live or lies on a volume. */
async function expectNothing(cluster: WatchedCluster, key: string): Promise<void> {
  expect((await cluster.ask("GET", key)).status).toBe(404);
  expect(await cluster.keys("list")).not.toContain(key);
  expect(cluster.remains()).toEqual([]);
}

/** Waits until no write is unfinished any more. */
async function settled(cluster: WatchedCluster): Promise<void> {
  await until(() => owing(cluster.db) === 0, { what: "unfinished writes are cleaned up", deadlineMs: 20_000 });
}

test.concurrent(
  "a master under -sync does not start over volumes that the plain script serves: a line that says so, exit code 1",
  async () => {
    await using good = await startMkvVolume();
    await using plain = await startVolume();
    await using folder = temporaryFolder();
    const volumes = `${good.address},${plain.address}`;
    const args = ["-sync", "-replicas", "1", "-port", "0", "-db", join(folder.path, "index"), "-volumes", volumes];
    const { exitCode, stdout, stderr } = await runMkv([...args, "server"]);
    expect([exitCode, stdout]).toEqual([1, ""]);
    const [made, anonymous, ...refused] = stderr.trimEnd().split("\n");
    expect(made).toMatch(/a new index is made/);
    expect(anonymous).toMatch(/takes no id/);
    expect(refused).toEqual([expect.stringMatching(ONE_LINE)]);
    expect(refused[0]).toContain(plain.address);
    expect(refused[0]).toContain("mkv volume");
  },
);

test.concurrent("a volume that something is still owed to is not taken for down when the master starts", async () => {
  await using volume = await startMkvVolume();
  await using folder = temporaryFolder();
  const store = { db: join(folder.path, "index"), volumes: [volume.address], flags: ["-sync", "-replicas", "1"] };
  {
    await using master = await startMaster(store);
    const ask = async (method: string) => await request(master.port, { method, target: "/owed", body: "value" });
    expect((await ask("PUT")).status).toBe(201);
    await volume.kill();
    expect((await ask("DELETE")).status).toBe(204);
  }
  await volume.start();
  await using again = await startMaster(store);
  expect(again.output).not.toContain("is down");
});

test.concurrent("a volume that is down when the master starts is found out at the first write", async () => {
  await using first = await startMkvVolume();
  await using second = await startMkvVolume();
  await using plain = await startVolume();
  await plain.kill();
  const volumes = [first.address, second.address, plain.address];
  await using master = await startMaster({ volumes, flags: ["-sync"] });
  expect(volumes.filter((address) => master.output.includes(address))).toEqual([plain.address]);
  await plain.start();
  const put = async () => {
    const { status, text } = await request(master.port, { method: "PUT", target: "/first", body: "value" });
    expect(status).toBe(503);
    expect(text).toMatch(ONE_LINE);
    return text.includes("sync service") && text;
  };
  const text = await until(put, { what: "the volume is up, and found to have no sync service" });
  expect(text).toContain(plain.address);
});

test.concurrent(
  "a PUT for which a volume has lost its sync service is refused in one line, and leaves nothing",
  async () => {
    await using cluster = await startWatchedCluster();
    await cluster.syncs[1]!.stop();
    const { status, text } = await cluster.ask("PUT", "/lost", { body: "value" });
    expect(status).toBe(503);
    expect(text).toMatch(ONE_LINE);
    expect(text).toMatch(/sync service.*mkv volume/);
    expect(text).toContain(cluster.addresses[1]!);
    await expectNothing(cluster, "/lost");
    cluster.syncs[1]!.start();
    await settled(cluster);
    await cluster.store("/lost");
    expect((await follow(await cluster.ask("GET", "/lost"))).text).toBe("value of /lost");
  },
);

test.concurrent("a PUT over an unlinked key that cannot be synced leaves the key unlinked", async () => {
  await using cluster = await startWatchedCluster();
  await cluster.store("/again");
  await cluster.ask("UNLINK", "/again");
  await cluster.syncs[1]!.stop();
  expect((await cluster.ask("PUT", "/again", { body: "new" })).status).toBe(503);
  expect((await cluster.ask("GET", "/again")).status).toBe(404);
  expect(await cluster.keys("unlinked")).toEqual(["/again"]);
  cluster.syncs[1]!.start();
  await cluster.store("/again", "new");
  expect((await follow(await cluster.ask("GET", "/again"))).text).toBe("new");
});

test.concurrent(
  "a DELETE for which a volume has lost its sync service is done, said in the log, and owed until it is on the disk",
  async () => {
    await using cluster = await startWatchedCluster();
    await cluster.store("/gone");
    await cluster.syncs[1]!.stop();
    expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
    await expectNothing(cluster, "/gone");
    expect(await cluster.keys("unlinked")).toEqual([]);
    const said = () => cluster.master.output.split("\n").find((line) => /sync service/.test(line));
    const line = await until(said, { what: "the log says what is wrong" });
    expect(line).toContain(cluster.addresses[1]!);
    await cluster.master.kill();
    cluster.takeCounts();
    cluster.syncs[1]!.start();
    await cluster.startMaster();
    const isAsked = () => cluster.syncs[1]!.take().some((path) => path.endsWith(pathOf("/gone")));
    await until(isAsked, { what: "the removal is brought to the disk", deadlineMs: 20_000 });
    await until(() => owing(cluster.db) === 0, { what: "nothing is owed any more", deadlineMs: 20_000 });
    await cluster.master.stop();
    expect(await recordOf(cluster.db, "/gone")).toBeUndefined();
  },
);

test.concurrent(
  "a rebalance for which a volume has lost its sync service is 400, and the key stays where it is",
  async () => {
    await using cluster = await startWatchedCluster({ flags: ["-replicas", "2"] });
    await cluster.store("/stays");
    const held = homeOf(cluster, "/stays", 2);
    await cluster.startMaster(["-sync", "-replicas", "3"]);
    const newcomer = cluster.syncs[indexOf(cluster, homeOf(cluster, "/stays")[2]!)]!;
    await newcomer.stop();
    const { status, text } = await cluster.ask("POST", "/stays?rebalance");
    expect(status).toBe(400);
    expect(text).toMatch(/^[^\n]*sync service[^\n]*\n?$/);
    const answer = await cluster.ask("GET", "/stays");
    expect(answer.headers.get("key-volumes")).toBe(held.join(","));
    expect((await follow(answer)).text).toBe("value of /stays");
    newcomer.start();
    const moved = async () => (await cluster.ask("POST", "/stays?rebalance")).status === 204;
    await until(moved, { what: "the key moves", deadlineMs: 20_000 });
  },
);

test.concurrent("a sync service that answers a PUT with anything but 204 confirms nothing", async () => {
  await using cluster = await startWatchedCluster();
  for (const status of [200, 302, 400, 401, 403, 404, 410, 500, 502]) {
    cluster.syncs[2]!.status = status;
    const answer = await cluster.ask("PUT", "/unsure", { body: "value" });
    expect([status, answer.status]).toEqual([status, 503]);
    expect(answer.text).toMatch(ONE_LINE);
    expect(answer.text).toContain(cluster.addresses[2]!);
    cluster.syncs[2]!.status = undefined;
    await settled(cluster);
    await expectNothing(cluster, "/unsure");
  }
});

test.concurrent("a sync service that answers a DELETE with anything but 410 confirms nothing", async () => {
  await using cluster = await startWatchedCluster();
  const statuses = [200, 204, 302, 400, 401, 403, 404, 500, 502];
  for (const status of statuses) {
    const key = `/unsure-${status}`;
    await cluster.store(key);
    cluster.syncs[2]!.status = status;
    expect([status, (await cluster.ask("DELETE", key)).status]).toEqual([status, 204]);
    cluster.syncs[2]!.take();
    const isAskedAgain = () => cluster.syncs[2]!.take().some((path) => path.endsWith(pathOf(key)));
    await until(isAskedAgain, { what: "it is tried again" });
    expect([status, keysOwing(cluster.db).has(key)]).toEqual([status, true]);
    cluster.syncs[2]!.status = undefined;
  }
  expect(cluster.remains()).toEqual([]);
  await until(() => owing(cluster.db) === 0, { what: "nothing is owed any more", deadlineMs: 40_000 });
});

test.concurrent("a disk that fails to sync is called so, not a service that is missing", async () => {
  await using cluster = await startWatchedCluster();
  cluster.syncs[2]!.status = 500;
  const { text } = await cluster.ask("PUT", "/unsure", { body: "value" });
  expect(text).toContain(cluster.addresses[2]!);
  expect(text).not.toMatch(/no sync service|start it/); // To start another would not help.
});

test.concurrent("a disk that is slow to sync does not keep a master from starting", async () => {
  await using cluster = await startWatchedCluster();
  await cluster.master.stop();
  cluster.syncs[2]!.hold();
  cluster.syncs[2]!.take();
  const slowMs = 2_500; // More than a volume may take to answer a HEAD.
  const timer = setTimeout(() => cluster.syncs[2]!.letGo(), slowMs);
  try {
    await cluster.startMaster();
    await cluster.store("/slow");
  } finally {
    clearTimeout(timer);
  }
});

test.concurrent(
  "behind a password, everything works with -sync; a master without the password says so and does not start",
  async () => {
    await using folder = temporaryFolder();
    const login = { user: "admin", password: "secret" };
    await using volume = await startMkvVolume({ auth: passwordFile(folder.path, login) });
    const flags = ["-sync", "-basicauth", "-replicas", "1"];
    const args = [...flags, "-port", "0", "-db", join(folder.path, "other"), "-volumes", volume.address, "server"];
    const refused = await runMkv(args);
    expect(refused.exitCode).toBe(1);
    const [unknown, made, ...lines] = refused.stderr.trimEnd().split("\n");
    expect([unknown, made]).toEqual([
      expect.stringMatching(/is not known/),
      expect.stringMatching(/a new index is made/),
    ]);
    expect(lines).toEqual([expect.stringMatching(/AUTH|-userpass/)]);
    const env = { MKV_USERPASS: `${login.user}:${login.password}` };
    await using master = await startMaster({ db: join(folder.path, "index"), volumes: [volume.address], flags, env });
    const headers = { Authorization: basic(login) };
    const put = await request(master.port, { method: "PUT", target: "/kept", body: "value", headers });
    expect(put.status).toBe(201);
    expect((await request(master.port, { method: "DELETE", target: "/kept", headers })).status).toBe(204);
  },
);
