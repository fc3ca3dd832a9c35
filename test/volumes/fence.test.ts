// The fence: a change that says until when it may begin is refused by the volume after that; one that says nothing passes.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { dial, head, request } from "../support/http";
import { passwordFile } from "../support/password";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";

setDefaultTimeout(30_000);
let volume: Volume;
beforeAll(async () => void (volume = await startVolume()));
afterAll(async () => await volume[Symbol.asyncDispose]());

const PATH = "/sv00/ab/cd/a+b=~c";
const seconds = (): number => Math.floor(Date.now() / 1000);
const fileAt = (path: string): string => join(volume.dir, path);

interface Said {
  method: string;
  until: number;
  path?: string;
  destination?: string;
}

/** The header lines of a change that may begin until then. */
function fence({ method, until, path = PATH, destination = "" }: Said): Record<string, string> {
  const text = ` ${until} ${method} ${path} ${destination} `;
  return { "Mkv-Until": String(until), "Mkv-Sum": createHash("md5").update(text).digest("base64url") };
}

async function ask(method: string, headers: Record<string, string> = {}, path = PATH): Promise<number> {
  const body = method === "PUT" ? "value" : undefined;
  return (await request(volume.port, { method, target: path, headers, ...(body && { body }) })).status;
}

test("a change that comes in time is carried out, and so is one that says nothing", async () => {
  const later = seconds() + 60;
  expect(await ask("PUT", fence({ method: "PUT", until: later }))).toBe(201);
  expect(await ask("DELETE", fence({ method: "DELETE", until: later }))).toBe(204);
  expect(await ask("PUT")).toBe(201);
  expect(await ask("PUT")).toBe(204);
  expect(await ask("DELETE")).toBe(204);
});

test("a change that comes late is refused, and changes nothing", async () => {
  const before = seconds() - 2;
  expect(await ask("PUT", fence({ method: "PUT", until: before }))).toBe(412);
  expect(existsSync(fileAt(PATH))).toBe(false);
  expect(await ask("PUT")).toBe(201);
  expect(await ask("DELETE", fence({ method: "DELETE", until: before }))).toBe(412);
  expect(readFileSync(fileAt(PATH), "utf8")).toBe("value");
  expect(await ask("DELETE")).toBe(204);
});

test("a sum of anything else, or half a fence, is refused: other second, method, path, destination", async () => {
  const later = seconds() + 60;
  const wrong: Record<string, string>[] = [
    { ...fence({ method: "PUT", until: later }), "Mkv-Until": String(later + 1) },
    fence({ method: "DELETE", until: later }),
    fence({ method: "PUT", until: later, path: `${PATH}d` }),
    fence({ method: "PUT", until: later, destination: "/sv00/ab/cd/other" }),
    { ...fence({ method: "PUT", until: later }), Destination: "/sv00/ab/cd/other" },
    { "Mkv-Until": String(later) },
    { "Mkv-Sum": fence({ method: "PUT", until: later })["Mkv-Sum"]! },
  ];
  for (const headers of wrong) expect([headers, await ask("PUT", headers)]).toEqual([headers, 403]);
  expect(existsSync(fileAt(PATH))).toBe(false);
  const moved = { ...fence({ method: "PUT", until: later, destination: "/sv00/x" }), Destination: "/sv00/x" };
  expect(await ask("PUT", moved)).toBe(201);
  expect(await ask("DELETE")).toBe(204);
});

test("where a move leads is part of what it says: late 412, wrong 403, in time it is carried out", async () => {
  const destination = "/sv00/ab/cd/moved";
  const said = { method: "MOVE", destination };
  const later = seconds() + 60;
  const move = (headers: Record<string, string>) => ask("MOVE", { ...headers, Destination: destination });
  expect(await move(fence({ ...said, until: seconds() - 2 }))).toBe(412);
  expect(await move(fence({ ...said, until: later, destination: "/sv00/ab/cd/elsewhere" }))).toBe(403);
  expect(await ask("PUT")).toBe(201);
  expect(await move(fence({ ...said, until: seconds() - 2 }))).toBe(412);
  expect(await move(fence({ ...said, until: later }))).toBe(204);
  expect([existsSync(fileAt(PATH)), readFileSync(fileAt(destination), "utf8")]).toEqual([false, "value"]);
  expect(await ask("DELETE", {}, destination)).toBe(204);
});

test("reading knows no fence", async () => {
  const late = fence({ method: "GET", until: seconds() - 2 });
  expect(await ask("GET", late, "/")).toBe(200);
  expect(await ask("HEAD", { "Mkv-Until": "1" }, "/")).toBe(200);
});

test("a volume says at its root that it has a fence, also to whom it does not let in; its listing is as ever", async () => {
  for (const method of ["GET", "HEAD"]) {
    const answer = await request(volume.port, { method, target: "/" });
    expect([answer.status, answer.headers.get("mkv-fence")]).toEqual([200, "1"]);
  }
  expect(await ask("PUT")).toBe(201);
  const names = JSON.parse((await request(volume.port, { target: "/" })).text).map(
    (entry: { name: string }) => entry.name,
  );
  expect(names).toEqual(["sv00"]);
  expect((await request(volume.port, { target: "/sv00/" })).headers.get("mkv-fence")).toBeNull();
  expect(await ask("DELETE")).toBe(204);
  await using folder = temporaryFolder();
  const auth = passwordFile(folder.path, { user: "somebody", password: "else" });
  await using locked = await startVolume({ auth });
  const refused = await request(locked.port, { method: "HEAD", target: "/" });
  expect([refused.status, refused.headers.get("mkv-fence")]).toEqual([401, "1"]);
});

test("what lies in the sockets of a frozen volume until its time is over is refused when the volume thaws", async () => {
  const kept = "/sv00/ab/cd/kept";
  expect(await ask("PUT", {}, kept)).toBe(201);
  using put = await dial(volume.port);
  using del = await dial(volume.port);
  for (const wire of [put, del]) {
    wire.write(head({ method: "HEAD", target: "/" }, { close: false }));
    expect((await wire.answer({ toHead: true })).status).toBe(200);
  }
  volume.freeze();
  const soon = seconds() + 1;
  const headers = fence({ method: "PUT", until: soon });
  put.write(head({ method: "PUT", target: PATH, headers, body: "value" }, { close: false }));
  put.write("value");
  const removal = fence({ method: "DELETE", until: soon, path: kept });
  del.write(head({ method: "DELETE", target: kept, headers: removal }, { close: false }));
  await until(() => seconds() > soon, { what: "the time is over" });
  volume.thaw();
  expect([(await put.answer()).status, (await del.answer()).status]).toEqual([412, 412]);
  expect([existsSync(fileAt(PATH)), existsSync(fileAt(kept))]).toEqual([false, true]);
});

test("what lies in the sockets of a frozen volume is carried out if it thaws in time", async () => {
  using wire = await dial(volume.port);
  volume.freeze();
  const headers = fence({ method: "PUT", until: seconds() + 60 });
  wire.write(head({ method: "PUT", target: PATH, headers, body: "value" }, { close: false }));
  wire.write("value");
  volume.thaw();
  expect((await wire.answer()).status).toBe(201);
  expect(await ask("DELETE")).toBe(204);
});
