// Work that goes on when its answer has begun: it outlives its client, and the master does not end before it. Nor does it wait
// for more than that.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { ask, sign } from "../support/s3-sign";
import { dial, head } from "../support/http";
import { s3Flags } from "../support/s3";
import { within } from "../support/until";

setDefaultTimeout(90_000);

test("a copy whose client has gone is ended, and waited for by a master that is to stop", async () => {
  await using folder = temporaryFolder();
  const { port, flags } = await s3Flags(folder.path);
  await using cluster = await startGatedCluster({ flags: [...flags, "-stalltimeout", "60s", "-voltimeout", "60s"] });
  await ask(port, { method: "PUT", target: "/bkt" });
  expect((await ask(port, { method: "PUT", target: "/bkt/source", body: "copied" })).status).toBe(200);
  for (const gate of cluster.gates) gate.hold("PUT", "answer");
  const target = "/bkt/copy";
  const { headers } = sign({ method: "PUT", target, headers: { "x-amz-copy-source": "bkt/source" } });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(port, "127.0.0.1");
  socket.write(`PUT ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n${lines.join("")}\r\n`);
  const begun = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  expect(begun.toString()).toStartWith("HTTP/1.1 200");
  socket.destroy();
  cluster.master.process.signal("SIGTERM");
  await Bun.sleep(6_000); // Longer than between two spaces, of which nobody is there to take the next.
  expect(cluster.master.process.ended).toBe(false);
  expect(cluster.master.output).not.toMatch(/controller|bug/i);
  cluster.openAll();
  expect(await within(cluster.master.process.exited, { what: "it ends with the copy" })).toBe(0);
  await cluster.startMaster();
  expect((await ask(port, { target })).text).toBe("copied");
});

test("a client that keeps its connection after its last answer does not hold up the end", async () => {
  await using folder = temporaryFolder();
  const { port, flags } = await s3Flags(folder.path);
  await using cluster = await startGatedCluster({ flags });
  await ask(port, { method: "PUT", target: "/bkt" });
  for (const gate of cluster.gates) gate.hold("PUT", "answer");
  const asked = { method: "PUT", target: "/bkt/slow", body: "x" };
  using wire = await dial(port);
  wire.write(head({ ...asked, headers: sign(asked).headers }, { close: false }));
  wire.write(asked.body);
  await Promise.all(cluster.gates.map((gate) => gate.holds("PUT", 1)));
  const { process } = cluster.master;
  process.signal("SIGTERM");
  await process.says(/stopping/);
  cluster.openAll();
  expect((await wire.answer()).status).toBe(200);
  expect(await within(process.exited, { what: "it ends with the request", deadlineMs: 10_000 })).toBe(0);
});
