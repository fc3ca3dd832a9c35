// The container and its cluster, as far as they can be judged without being run: what they start is what the program knows.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readCommandLine } from "../../src/cli/commands";
import { flagsGiven, readConfig } from "../../src/cli/config";
import { CHECKOUT } from "../support/volume";

type Service = {
  command: string;
  environment?: Record<string, string>;
  volumes: string[];
  healthcheck?: { test: string };
};
const textOf = (name: string) => readFileSync(join(CHECKOUT, "packaging/container", name), "utf8");
const image = textOf("Containerfile");
const compose = Bun.YAML.parse(textOf("compose.yaml")) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const { master, ...volumes } = compose.services;

test("what the master is started with is a command line of the program, with all four volumes", async () => {
  const { command, args } = readCommandLine(master!.command.split(" "));
  expect(command).toBe("server");
  const given = Object.fromEntries(args.map((arg) => /^--([^=]+)=(.*)$/s.exec(arg)!.slice(1)));
  const { topology } = await readConfig(flagsGiven("server", given, {}));
  const ports = Object.values(volumes).map(({ environment }) => `127.0.0.1:${environment!["PORT"]}`);
  expect([ports.length, topology.volumes]).toEqual([4, ports]);
});

test("each volume has a port, a place of its own, and is asked there whether it lives", () => {
  for (const [name, { command, environment, volumes, healthcheck }] of Object.entries(compose.services)) {
    if (name === "master") continue;
    expect(readCommandLine(command.split(" "))).toMatchObject({ command: "volume", args: ["/srv/mkv"] });
    expect(volumes).toEqual([`${name}:/srv/mkv`]);
    expect(healthcheck!.test).toContain(`:${environment!["PORT"]}/`);
  }
  expect(Object.keys(compose.volumes).toSorted()).toEqual(Object.keys(compose.services).toSorted());
});

test("the image does not run as root, and asks the master that it starts whether it lives", () => {
  const instructions = image.split("\n").filter((line) => /^[A-Z]+ /.test(line));
  const user = instructions.findIndex((line) => line === "USER mkv");
  expect(user).toBeGreaterThan(instructions.findLastIndex((line) => line.startsWith("RUN ")));
  const [, port] = /^HEALTHCHECK .*:(\d+)\/healthz"\]$/m.exec(image)!;
  expect(master!.command).toContain(`-adminport ${port} `);
  expect(image).toMatch(/^ENTRYPOINT \["mkv"\]$/m);
});
