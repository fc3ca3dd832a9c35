// Whoever is turned away since there are too many is not kept, either.
import { expect, test } from "bun:test";
import { type Admission } from "../../src/api/admission";
import { serveS3 } from "../../src/api/s3/serve";
import { Keys } from "../../src/api/s3/signature";
import { MkvError } from "../../src/errors";
import { type Store } from "../../src/store/store";
import { freePort } from "../support/ports";
import { raw } from "../support/http";

test("a request of one too many is 503 SlowDown, and its connection is closed", async () => {
  const admission = {
    enter() {
      throw new MkvError("crowded", "too many connections: try again");
    },
    watch: () => ({ [Symbol.dispose]() {} }),
  } as unknown as Admission;
  const s3 = { store: {} as Store, keys: new Keys(new Map()), clienttimeoutMs: 1000 };
  const port = await freePort();
  const { drain } = await serveS3(s3, { port, bind: "127.0.0.1", verbose: false, shared: false, admission });
  const answer = await raw(port, "GET /bucket/key HTTP/1.1\r\nHost: a\r\n\r\n", 5_000);
  expect([answer.status, answer.headers.get("connection")]).toEqual([503, "close"]);
  await drain();
});
