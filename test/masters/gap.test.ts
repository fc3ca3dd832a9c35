// A master that is stopped between its last look at its claim and the arrival of its request, until another has taken the
// key over and written it: what comes late destroys nothing.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { request } from "../support/http";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";

const ROUNDS = 10;

setDefaultTimeout(90_000);

test("requests of a master that was stopped for longer than its claims hold change no newer value", async () => {
  await using server = await startPostgres();
  await using cluster = await startGatedCluster({ db: server.url, flags: ["-threads", "1"] });
  await using other = await cluster.anotherMaster();
  const put = Array.from({ length: ROUNDS }, (_, i) => `/put/${i}`);
  const deleted = Array.from({ length: ROUNDS }, (_, i) => `/deleted/${i}`);
  for (const key of deleted) await cluster.store(key, `old ${key}`);

  for (const gate of cluster.gates)
    for (const method of ["PUT", "DELETE"]) gate.hold(method, "arrival", { times: ROUNDS, late: true });
  const late = [
    ...put.map((key) => cluster.ask("PUT", key, { body: `old ${key}`, timeoutMs: 60_000 })),
    ...deleted.map((key) => cluster.ask("DELETE", key, { timeoutMs: 60_000 })),
  ];
  for (const gate of cluster.gates) await Promise.all(["PUT", "DELETE"].map((method) => gate.holds(method, ROUNDS)));
  cluster.master.process.signal("SIGSTOP");

  const renew = async (key: string) => {
    const isWritten = async () => {
      const { status } = await request(other.port, { method: "PUT", target: key, body: `new ${key}` });
      expect([201, 409, 503]).toContain(status);
      return status === 201;
    };
    await until(isWritten, { what: `${key} is taken over`, deadlineMs: 30_000 });
  };
  await Promise.all([...put, ...deleted].map(renew));

  cluster.openAll();
  cluster.master.process.signal("SIGCONT");
  const answers = await Promise.all(late);
  expect(answers.slice(0, ROUNDS).map(({ status }) => status)).toEqual(put.map(() => 503));
  for (const key of [...put, ...deleted])
    expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), `new ${key}`));
  const found = await request(other.port, { target: "/?list" });
  expect(JSON.parse(found.text).keys).toEqual([...deleted, ...put].sort());
});
