// Owns pairs of keys that no disk has room for: the file of one is a folder of the path of the other. Base64 has a "/" where
// bytes such as 0xFF begin a group of three, and both keys must have the same folder of the hash, as one pair in 65,536 has.

export interface Entangled {
  /** Its value is a file where `below` needs a folder. */
  above: string;
  below: Uint8Array;
}

/** Such pairs whose keys begin with this name, always the same ones. */
export function* entangledPairs(name: string): Generator<Entangled> {
  const stem = `/${name}`.padEnd(Math.ceil((name.length + 1) / 3) * 3, "-");
  for (let i = 0; ; i++) {
    const above = `${stem}${String(i).padStart(9, "0")}`;
    const below = Buffer.concat([Buffer.from(above), Buffer.from([0xff, 0x61])]);
    if (folderOf(above) === folderOf(below)) yield { above, below };
  }
}

/** The first two bytes of the hash. */
function folderOf(key: string | Uint8Array): number {
  Bun.MD5.hash(key, digest);
  return digest[0]! * 256 + digest[1]!;
}

const digest = new Uint8Array(16);
