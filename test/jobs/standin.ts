// Owns a stand-in for a volume that holds one folder of values, `/sv00/80/00/`, and answers for that as a test wants.
import { startFaultyVolume, type Behaviour, type FaultyVolume, type SeenRequest } from "../support/faulty";

/** The folder that the test answers for. All real ones before it are listed first. */
export const DEEP = "/sv00/80/00/";
const PARENTS: Record<string, string> = { "/": "sv00", "/sv00/": "80", "/sv00/80/": "00" };

/** A listing as nginx sends it. */
export function listingOf(...entries: { name: string; bytes?: number }[]): string {
  const lines = entries.map(({ name, bytes }) => {
    const kind = bytes === undefined ? `"type":"directory"` : `"type":"file"`;
    const size = bytes === undefined ? "" : `, "size":${bytes}`;
    return `{ "name":${JSON.stringify(name)}, ${kind}, "mtime":"Sat, 01 Jan 2022 00:00:00 GMT"${size} }`;
  });
  return `[\n${lines.join(",\n")}\n]\n`;
}

/** A volume whose deep folder is listed like this. */
export async function startStandIn(deep: (request: SeenRequest) => Behaviour): Promise<FaultyVolume> {
  return startFaultyVolume((request): Behaviour => {
    const name = PARENTS[request.path];
    if (name === undefined) return deep(request);
    return { does: "answer", status: 200, body: listingOf({ name }) };
  });
}

/** One that may also fail before it comes to the deep folder. */
export async function startFailing(at: string, failure: Behaviour): Promise<FaultyVolume> {
  const healthy: Behaviour = { does: "answer", status: 200, body: listingOf() };
  return startFaultyVolume((request): Behaviour => {
    if (request.path === at) return failure;
    const name = PARENTS[request.path];
    return name === undefined ? healthy : { does: "answer", status: 200, body: listingOf({ name }) };
  });
}
