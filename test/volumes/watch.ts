// Owns the watch over the ids of real volumes, what it says, and what may happen to their disks.
import { textOf } from "../support/events";
import { afterEach, beforeEach, spyOn } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type VolumeSettings } from "../../src/volumes/client";
import { Identity, type IdentityMemory } from "../../src/volumes/identity";
import { Volumes } from "../../src/volumes/volumes";
import { type Volume } from "../support/volume";

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/;
export const settings: VolumeSettings = {
  voltimeoutMs: 3000, // A busy machine keeps a sound volume silent for more than one second.
  stalltimeoutMs: 4000,
  sync: false,
  credentials: undefined,
};

/** What a test has made the program log, without what it says of fences. */
export function heard(): string[] {
  const said: string[] = [];
  let stderr: { mockRestore(): void };
  beforeEach(() => {
    said.length = 0;
    stderr = spyOn(process.stderr, "write").mockImplementation((line) => {
      const text = textOf(String(line).trimEnd());
      if (!/fence/.test(text)) said.push(text);
      return true;
    });
  });
  afterEach(() => stderr.mockRestore());
  return said;
}

export class Memory implements IdentityMemory {
  readonly ids = new Map<string, string | null>();
  get = (name: string): string | null | undefined => this.ids.get(name);
  names = (): string[] => [...this.ids.keys()];
  put = async (name: string, id: string): Promise<void> => void this.ids.set(name, id);
  begin = async (names: readonly string[]): Promise<void> => {
    for (const name of names) this.ids.set(name, this.ids.get(name) ?? null);
  };
}

/** A store over these volumes as the watch over the ids sees it. */
export function watch(names: string[], { subvolumes = 2, memory = new Memory() } = {}) {
  const volumes = Volumes.of({ volumes: names, replicas: 1, subvolumes }, settings);
  const identity = new Identity(volumes, memory);
  const check = async () => {
    await volumes.probeAll(); // Who has never answered is not asked.
    return await identity.check();
  };
  return { volumes, memory, identity: { check } };
}

export const idAt = (volume: Volume, disk = ""): string => readFileSync(join(volume.dir, disk, "mkv", "id"), "utf8");

/** A file as a tool puts it there, in folders that nginx may write to. */
export function write(volume: Volume, path: string, text: string): void {
  mkdirSync(dirname(join(volume.dir, path)), { recursive: true });
  writeFileSync(join(volume.dir, path), text);
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) chmodSync(join(volume.dir, folder), 0o777);
}

/** An empty folder in place of a disk, as when it is not mounted or new; nginx may write to it. */
export function empty(volume: Volume, disk: string): void {
  rmSync(join(volume.dir, disk), { recursive: true });
  mkdirSync(join(volume.dir, disk));
  chmodSync(join(volume.dir, disk), 0o777);
}
