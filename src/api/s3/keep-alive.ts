// Owns the answers that take long: the client is kept by white space until the document is there. S3 does the same: such an
// answer has status 200 and may still tell of a failure.
import { s3Limits } from "../../s3-limits";
import { streamed } from "../stream";
import { errorNodes, s3ErrorOf } from "./errors";
import { declaration, xmlAnswer, xmlElement } from "./xml";

/** A document that is worked on; `rest` goes on when it is there. */
export type Document = { readonly root: string; readonly inner: string; readonly rest?: Promise<void> | undefined };

/** The answer that this work leads to. Throws what it throws, if that is soon. */
export async function keptAlive(work: Promise<Document>, about: { resource: string; id: string }): Promise<Response> {
  const soon = await soonOf(work);
  if (soon) return xmlAnswer(soon.root, soon.inner);
  const text = work.then(
    ({ root, inner }) => xmlElement(root, inner),
    (error: unknown) => xmlElement("Error", errorNodes(s3ErrorOf(error), about)),
  );
  return new Response(streamed(spaced(text)), { headers: { "content-type": "application/xml" } });
}

/** A document of which no more is known yet than that there will be one. If the client goes, the work goes on. */
async function* spaced(text: Promise<string>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(declaration);
  for (;;) {
    const found = await soonOf(text);
    yield Buffer.from(found ?? " ");
    if (found !== undefined) return;
  }
}

/** What work leads to, if that is within `patienceMs`; else undefined. Throws what it throws by then. */
async function soonOf<T>(work: Promise<T>): Promise<T | undefined> {
  const { promise: tooLong, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), s3Limits.patienceMs);
  return await Promise.race([work, tooLong]).finally(() => clearTimeout(timer));
}
