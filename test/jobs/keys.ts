// Owns the keys whose paths are out of the ordinary, as the format's description has them.

/** A `/` inside the Base64: the value lies in a folder of its own. */
const NON_ASCII = ["/ünï", "/foo/é", "/dir/ünï-003/é.bin", "/日本語/файл", "/😀😀😀"];
/** The Base64 is longer than a file name, or ends in a `/`, or holds two in a row: `~` in the path. */
const TILDE = [
  "/??",
  `/${"long".repeat(60)}`,
  `/${"longest".repeat(146)}!`,
  `/${"é?".repeat(80)}`,
  Buffer.from([0x2f, 0x3f, 0xff, 0xff, 0xff, 0x2f, 0x3f, 0x3f, 0xff]),
];
const PLAIN = ["/", "/a", "/a/b", "//", "/a b", "/100%", "/sv00", "/aa/bb/Y2M=", "/~", `/${"x".repeat(188)}`];
const NOT_UTF8 = [Buffer.from([0x2f, 0xff]), Buffer.from([0x2f, 0xc3, 0x28])];

/** One key of each odd kind. */
export const oddKeys: readonly (string | Uint8Array)[] = [...PLAIN, ...NON_ASCII, ...TILDE, ...NOT_UTF8];

/** So many ordinary keys of a name. */
export function plainKeys(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `/${name}-${i}`);
}
