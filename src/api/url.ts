// Owns the reading of URLs; what they name, a key, is read in `format/`.
import { decodePercent } from "../format/key";

/** Path and query of a URL, or of the bare path that Bun hands over where the Host header is none. A "#" is path. */
export function splitUrl(url: string): { path: string; query: string } {
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2);
  const mark = url.indexOf("?", start);
  return mark < 0
    ? { path: url.slice(start), query: "" }
    : { path: url.slice(start, mark), query: url.slice(mark + 1) };
}

/** A parameter of a query; its value as bytes. */
export type Parameter = { readonly name: string; readonly value: Uint8Array };

/** A parameter taken apart. Throws MkvError bad-request for a broken escape. */
export function readParameter(text: string): Parameter {
  const equals = text.indexOf("=");
  const [name, value] = equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
  return { name: decodePercent(name).toString(), value: decodePercent(value.replaceAll("+", " ")) };
}
