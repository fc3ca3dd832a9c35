// Owns the reading of the documents that clients send: Delete, CompleteMultipartUpload, CreateBucketConfiguration.
import { isUtf8 } from "node:buffer";
import { SaxesParser } from "saxes";
import { s3Limits } from "../../s3-limits";
import { S3Error } from "./errors";
import { type Payload } from "./payload";

export type Element = { readonly name: string; text: string; readonly children: Element[] };

/** The document with this root; undefined for an empty body. Throws S3Error MalformedXML. */
export function readXml(bytes: Uint8Array, root: string): Element {
  const malformed = new S3Error("MalformedXML", `the body is no well-formed document with the root ${root}`);
  const parser = new SaxesParser({ xmlns: false });
  const above: Element[] = [];
  let found: Element | undefined;
  const refuse = () => {
    throw malformed;
  };
  parser.on("error", refuse);
  parser.on("doctype", refuse);
  parser.on("xmldecl", ({ encoding = "UTF-8" }) => void (/^(utf-8|us-ascii)$/i.test(encoding) || refuse()));
  parser.on("opentag", ({ name }) => {
    const element: Element = { name: name.replace(/^.*:/, ""), text: "", children: [] };
    if (above.length > 8) throw malformed;
    above.at(-1)?.children.push(element);
    found ??= element;
    above.push(element);
  });
  const add = (text: string) => void (above.length > 0 && (above.at(-1)!.text += text));
  parser.on("text", add);
  parser.on("cdata", add);
  parser.on("closetag", () => void above.pop());
  if (!isUtf8(bytes)) throw malformed; // It would name other keys than are meant.
  parser.write(Buffer.from(bytes).toString("utf8")).close();
  if (found?.name !== root) throw malformed;
  return found;
}

/** The text of the first child of this name. */
export function textOf(element: Element, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** All of a body that is a document. Throws S3Error MalformedXML if it is too long, BadDigest; what `chunks` throw. */
export async function documentIn({ chunks, md5 }: Payload): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    pieces.push(chunk);
    if ((bytes += chunk.length) > s3Limits.documentBytes)
      throw new S3Error("MalformedXML", `a document has at most ${s3Limits.documentBytes} bytes`);
  }
  const document = Buffer.concat(pieces);
  if (md5 !== undefined && new Bun.CryptoHasher("md5").update(document).digest("hex") !== md5)
    throw new S3Error("BadDigest", "Content-MD5 is not the MD5 of the body");
  return document;
}
