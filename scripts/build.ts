// Builds the executable: `bun run build` makes ./mkv for this machine, `bun run build --all` makes one for each target
// in dist/, with their SHA-256 sums.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { BunPlugin } from "bun";

const root = resolve(import.meta.dir, "..");
const prebuilds = join(root, "node_modules/classic-level/prebuilds");

/** What Bun calls a platform, and where classic-level keeps LevelDB for it. */
const targets = {
  "linux-x64": "linux-x64/classic-level.node",
  "linux-x64-musl": "linux-x64/classic-level.musl.node",
  "linux-arm64": "linux-arm64/classic-level.armv8.node",
  "darwin-x64": "darwin-x64+arm64/classic-level.node",
  "darwin-arm64": "darwin-x64+arm64/classic-level.node",
} as const;
type Target = keyof typeof targets;

/** Replaces classic-level's search for its addon, which looks on the machine that built it, by src/ledger/level/addon.ts. */
function embedAddon(target: Target): BunPlugin {
  const loader = join(root, "src/ledger/level/addon.ts");
  const addon = join(prebuilds, targets[target]);
  return {
    name: "embed-addon",
    setup(build) {
      build.onLoad({ filter: /classic-level[/\\]binding\.js$/ }, () => ({
        contents: `module.exports = require("mkv:addon").default`,
        loader: "js",
      }));
      // A module of its own, because a file with both `import` and `module.exports` ends up exporting nothing.
      build.onResolve({ filter: /^mkv:addon$/ }, ({ path }) => ({ path, namespace: "mkv" }));
      build.onLoad({ filter: /^mkv:addon$/, namespace: "mkv" }, () => ({
        contents: `
          import { lazyAddon } from ${JSON.stringify(loader)};
          import embedded from ${JSON.stringify(addon)} with { type: "file" };
          export default lazyAddon(embedded);`,
        loader: "js",
      }));
    },
  };
}

async function build(target: Target, outfile: string): Promise<void> {
  const started = performance.now();
  await Bun.build({
    entrypoints: [join(root, "src/main.ts")],
    // Whatever folder mkv is started in, no .env or bunfig.toml in it is mkv's business.
    compile: { target: `bun-${target}`, outfile, autoloadDotenv: false, autoloadBunfig: false },
    bytecode: true, // A start takes half the time.
    format: "esm", // With bytecode the default is another one, which knows no await at the top of a module.
    // Names of functions and classes stay, and the source map is embedded, so that a stack trace can be read.
    minify: { whitespace: true, syntax: true, identifiers: false },
    sourcemap: "inline",
    plugins: [embedAddon(target)],
  });
  rmSync(`${outfile}.map`, { force: true }); // Bun writes it beside the executable as well.
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${relative(root, outfile)}  ${(Bun.file(outfile).size / 1e6).toFixed(0)} MB  ${seconds} s`);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

async function buildAll(): Promise<void> {
  const dist = join(root, "dist");
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  let sums = "";
  for (const target of Object.keys(targets) as Target[]) {
    const name = `mkv-${target}`;
    await build(target, join(dist, name));
    sums += `${await sha256(join(dist, name))}  ${name}\n`;
  }
  await Bun.write(join(dist, "SHA256SUMS"), sums);
}

function hostTarget(): Target {
  const musl = existsSync("/etc/alpine-release");
  const name = `${process.platform}-${process.arch}${musl ? "-musl" : ""}`;
  if (!Object.hasOwn(targets, name))
    throw new Error(`no build of LevelDB for ${name}; there is: ${Object.keys(targets).join(", ")}`);
  return name as Target;
}

const flags = process.argv.slice(2);
if (flags.length === 0) await build(hostTarget(), join(root, "mkv"));
else if (flags.length === 1 && flags[0] === "--all") await buildAll();
else {
  console.error("usage: bun run build [--all]");
  process.exit(2);
}
