// Owns the text of a long answer: bytes in pieces that double up to one megabyte, each dropped once it is sent.
import { showKey } from "../../format/key";

const quote = 0x22;
const backslash = 0x5c;
const shortestPiece = 16 * 1024;
const longestPiece = 1024 * 1024;

export class LongText {
  readonly #pieces: Uint8Array[] = [];
  #piece = Buffer.alloc(0);
  #at = 0;
  #fullBytes = 0;

  get bytes(): number {
    return this.#fullBytes + this.#at;
  }

  /** Adds ASCII text. It is short: a loop costs less than a call of `write`. */
  add(ascii: string): void {
    this.#makeRoom(ascii.length);
    const piece = this.#piece;
    let at = this.#at;
    for (let i = 0; i < ascii.length; i++) piece[at++] = ascii.charCodeAt(i);
    this.#at = at;
  }

  /** Adds a key as a JSON string; those of plain ASCII, which is nearly all, without a string of JavaScript. */
  addKey(key: Uint8Array): void {
    this.#makeRoom(key.length + 2);
    const piece = this.#piece;
    let at = this.#at;
    piece[at++] = quote;
    for (let i = 0; i < key.length; i++) {
      const byte = key[i]!;
      if (byte < 0x20 || byte > 0x7e || byte === quote || byte === backslash) return this.#addShown(key);
      piece[at++] = byte;
    }
    piece[at++] = quote;
    this.#at = at;
  }

  /** What was added, in order; nothing more may be added then. */
  finish(): Uint8Array[] {
    this.#turn(0);
    return this.#pieces;
  }

  #addShown(key: Uint8Array): void {
    const shown = Buffer.from(JSON.stringify(showKey(key)));
    this.#makeRoom(shown.length);
    this.#piece.set(shown, this.#at);
    this.#at += shown.length;
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes <= this.#piece.length) return;
    this.#turn(Math.max(bytes, Math.min(2 * this.#piece.length, longestPiece), shortestPiece));
  }

  #turn(bytes: number): void {
    if (this.#at > 0) this.#pieces.push(this.#piece.subarray(0, this.#at));
    this.#fullBytes += this.#at;
    this.#piece = Buffer.allocUnsafeSlow(bytes);
    this.#at = 0;
  }
}
