// What is asked at the S3 port is counted and logged like the rest.
import { expect, setDefaultTimeout, test } from "bun:test";
import { sampleOf, sumOf } from "../support/exposition";
import { freePort } from "../support/ports";
import { accessKeyId, startS3 } from "../support/s3";
import { until } from "../support/until";
import { operated } from "./operated";

setDefaultTimeout(60_000);

test("an object that comes and goes through S3 is in the metrics and the log, with its bytes and its user", async () => {
  const port = await freePort();
  await using s3 = await startS3({ flags: ["-adminport", String(port), "-v", "-log", "json"] });
  const store = operated(s3.cluster, port);
  await s3.cluster.store("/bucket/other"); // Makes the bucket.
  const client = s3.client("bucket");
  const before = await store.metrics();
  await client.write("film", "x".repeat(5000));
  expect((await client.file("film").text()).length).toBe(5000);
  const after = await store.metrics();
  const grown = (name: string, ...labels: string[]) => sumOf(after, name, ...labels) - sumOf(before, name, ...labels);
  expect(grown("mkv_received_bytes_total")).toBe(5000);
  expect(grown("mkv_sent_bytes_total")).toBeGreaterThanOrEqual(5000);
  expect([grown("mkv_requests_total", 'method="PUT"'), grown("mkv_requests_total", 'method="GET"')]).toEqual([1, 1]);
  const socket = await Bun.connect({ hostname: "localhost", port: s3.port, socket: { data() {} } });
  const seen = async () => sampleOf(await store.metrics(), "mkv_connections") >= 1;
  await until(seen, { what: "a connection to the S3 port is counted" });
  socket.end();
  const logged = () =>
    s3.cluster.master.process.stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ path }) => path === "/bucket/film");
  await until(() => logged().length === 2, { what: "both requests are logged" });
  const asked = { user: accessKeyId, bytes: 5000, client: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) };
  expect(logged()).toMatchObject([
    { ...asked, method: "PUT", status: 200 },
    { ...asked, method: "GET", status: 200 },
  ]);
});
