// Owns what the head of a request says of its body: how long it is, and what cannot be stored as it stands.
import { MkvError } from "../errors";

/**
 * The length that is announced; undefined for a chunked body, or none. Bun joins equal fields: "5, 5" is 5.
 * @throws MkvError bad-request if it is no number, or several
 */
export function announcedBytes({ headers }: Pick<Request, "headers">): number | undefined {
  const text = headers.get("content-length");
  if (text === null) return undefined;
  const [first, ...others] = text.split(",").map((part) => part.trim());
  if (/^\d{1,15}$/.test(first!) && others.every((other) => other === first)) return Number(first);
  throw new MkvError("bad-request", "Content-Length is not one whole number");
}

/**
 * Refuses a body that would be stored as something else than it is.
 * @throws MkvError bad-request for a part of a value (RFC 9110, section 14.4), and for trailers: Bun answers 400 to these
 * by itself, when the body has been handed over already
 */
export function requireWhole({ headers }: Request): void {
  if (headers.has("content-range"))
    throw new MkvError("bad-request", "a value is stored whole: Content-Range is not taken");
  if (headers.has("trailer"))
    throw new MkvError("bad-request", "trailers are not taken: send the body without Trailer");
}
