// A host that drops packets: what it never let be opened cannot be closed, and takes an open file for minutes.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { MkvError } from "../../src/errors";
import { limits } from "../../src/limits";
import { Pools } from "../../src/volumes/http/pool";
import { startBlackHole } from "../support/black-hole";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const SYN_SENT = "02";
const late = () => new MkvError("timeout", "it is late");

/** How many connections to this port are being opened, on the whole machine. */
function opening(port: number): number {
  const rows = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => readFileSync(path, "utf8").split("\n"));
  const isOf = ([, , remote, state]: string[]) => remote?.endsWith(`:${hex}`) && state === SYN_SENT;
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return rows.filter((row) => isOf(row.trim().split(/\s+/))).length;
}

test.each(["HEAD", "GET"] as const)(
  "%s to a host that drops packets leave few open files, and find it when it is back",
  async (method) => {
    const hole = await startBlackHole();
    await using _ = hole;
    const pools = new Pools();
    const ask = (timeoutMs: number) =>
      pools.exchange(
        { volume: `127.0.0.1:${hole.port}`, path: "/", method, headers: "" },
        { timeoutMs, onTimeout: late },
      );
    const before = opening(hole.port);
    for (let round = 0; round < 30; round++) {
      const asked = Array.from({ length: 20 }, (_, i) => ask(10 + (i % 4) * 10)); // Whose deadlines pass one after the other.
      for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[])
        expect([status, reason.code]).toEqual(["rejected", "timeout"]);
    }
    expect(opening(hole.port) - before).toBeLessThan(2 * limits.connectionsForQuestions);
    await hole[Symbol.asyncDispose]();
    using _back = Bun.serve({ port: hole.port, fetch: () => new Response() });
    const isBack = () =>
      ask(500).then(
        ({ body }) => (body?.close(), true),
        () => false,
      );
    await until(isBack, { what: "it is found again", deadlineMs: 10_000 });
  },
);
