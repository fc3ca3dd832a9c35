// Owns the answers that take long: the client is kept by white space until the document is there. S3 does the same: such an
// answer has status 200 and may still tell of a failure.
import { s3Limits } from "../../s3-limits";
import { errorNodes, s3ErrorOf } from "./errors";
import { xmlAnswer, xmlDocument } from "./xml";

/** A document that is worked on. */
export type Document = { readonly root: string; readonly inner: string; readonly headers?: Record<string, string> };

/** The answer that this work leads to. Throws what it throws, if that is soon. */
export async function keptAlive(work: Promise<Document>, about: { resource: string; id: string }): Promise<Response> {
  const timer = Promise.withResolvers<undefined>();
  const timeout = setTimeout(() => timer.resolve(undefined), s3Limits.patienceMs);
  const soon = await Promise.race([work, timer.promise]).finally(() => clearTimeout(timeout));
  if (soon) return xmlAnswer(soon.root, soon.inner, { headers: soon.headers ?? {} });
  let space: Timer;
  let isGone = false;
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(Buffer.from('<?xml version="1.0" encoding="UTF-8"?>\n'));
      space = setInterval(() => controller.enqueue(Buffer.from(" ")), s3Limits.patienceMs);
      const text = await work.then(
        ({ root, inner }) => xmlDocument(root, inner),
        (error: unknown) => xmlDocument("Error", errorNodes(s3ErrorOf(error), about), { namespace: "none" }),
      );
      if (isGone) return;
      clearInterval(space);
      controller.enqueue(Buffer.from(text.slice(text.indexOf("\n") + 1)));
      controller.close();
    },
    cancel() {
      isGone = true; // The client; the work goes on.
      clearInterval(space);
    },
  });
  return new Response(body, { headers: { "content-type": "application/xml" } });
}
