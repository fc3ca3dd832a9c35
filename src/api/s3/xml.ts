// Owns the writing of answers in XML, which are small.

const namespaceOfS3 = "http://s3.amazonaws.com/doc/2006-03-01/";

/** An element with a text in it; nothing for undefined. */
export function node(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `<${name}>${escapeXml(String(value))}</${name}>`;
}

/** An element with elements in it. */
export function nest(name: string, ...inner: readonly string[]): string {
  return `<${name}>${inner.join("")}</${name}>`;
}

/** An answer whose body is a document. */
export function xmlAnswer(
  root: string,
  inner: string,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): Response {
  const body = Buffer.from(declaration + xmlElement(root, inner));
  const length = String(body.length);
  const fields = { ...headers, "content-type": "application/xml", "content-length": length };
  return new Response(body, { status, headers: fields });
}

/** What a document begins with. */
export const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** The rest of it. A failure has no namespace. */
export function xmlElement(root: string, inner: string): string {
  const declared = root === "Error" ? "" : ` xmlns="${namespaceOfS3}"`;
  return `<${root}${declared}>${inner}</${root}>`;
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/**
 * Control characters become references, as S3 writes them, though XML 1.0 has no place for them. An apostrophe stays: s3mini
 * and others read no reference to it.
 */
function escapeXml(text: string): string {
  return text.replace(
    /[&<>"\u0000-\u001f\u007f\ufffe\uffff]/g,
    (c) => entities[c] ?? `&#x${c.charCodeAt(0).toString(16)};`,
  );
}
