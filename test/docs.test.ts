// The documents: links lead somewhere, what is named exists, and messages are those of the program.
import { expect, test } from "bun:test";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Flag, flags } from "../src/cli/flags";
import { CHECKOUT } from "./support/volume";

const names = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(CHECKOUT, "docs")).map((name) => `docs/${name}`)];
const documents = names.filter((name) => name.endsWith(".md")).map((name) => ({ name, text: textOf(name) }));

function textOf(name: string): string {
  return readFileSync(join(CHECKOUT, name), "utf8");
}

/** The headings of a document, as GitHub names them in links. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!.toLowerCase());
  return headings.map((heading) => heading.replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-"));
}

test.each(documents)("the links of $name lead somewhere", ({ name, text }) => {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^https?:/.test(link));
  const broken = links.filter((link) => {
    const [path, anchor] = link.split("#") as [string, string?];
    const target = path === "" ? name : join(dirname(name), path);
    if (!existsSync(join(CHECKOUT, target))) return true;
    return anchor !== undefined && !anchorsOf(textOf(target)).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test.each(documents)("the files that $name names are there", ({ text }) => {
  const paths = text.match(/(?<![\w./-])(?:\.\/)?(?:packaging|scripts|src|test|docs)\/[\w./-]*\w/g) ?? [];
  expect(paths.filter((path) => !existsSync(join(CHECKOUT, path)))).toEqual([]);
});

test.each(documents)("the flags that $name gives to mkv are flags of mkv", ({ name, text }) => {
  const commands = [...text.matchAll(/(?:^ {4}(?:[A-Z_]+=\S+ )*(?:\.\/)?mkv |MKV_FLAGS=)(.*)$/gm)].map(
    ([, words]) => words!,
  );
  const given = commands.flatMap((words) => words.split(/ +[#|<>&] /)[0]!.match(/(?<=^| )-\w[\w-]*/g) ?? []);
  const named = name === "CONTRIBUTING.md" ? [] : [...text.matchAll(/`(-\w[\w-]+)[^`]*`/g)].map(([, flag]) => flag!);
  expect([...given, ...named].filter((flag) => !Object.hasOwn(flags, flag.slice(1)))).toEqual([]);
});

test("docs/commands.md has every flag, with its default", () => {
  const rows = textOf("docs/commands.md").match(/^\| `-.*$/gm) ?? [];
  const told = Object.fromEntries(
    rows
      .map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()))
      .map((cells) => [/^`-([\w-]+)/.exec(cells[1]!)![1], cells[2]]),
  );
  for (const [name, flag] of Object.entries<Flag>(flags)) {
    const text = flag.shown ?? flag.default;
    expect([name, told[name]?.replaceAll("`", "")]).toEqual([
      name,
      text ?? (told[name] === "required" ? "required" : ""),
    ]);
  }
});

test("README.md can be read at once", () => {
  expect(textOf("README.md").split("\n").length).toBeLessThanOrEqual(200);
});

/** Literal text of messages, without what stands for names. */
const fragments = (message: string) =>
  message
    .split(/…/)
    .map((part) => part.replaceAll(/^[ '():,;.]+|[ '():,;.]+$/g, ""))
    .filter((part) => part.length > 5);

test("docs/troubleshooting.md quotes messages of the program, and all of the script volume", () => {
  const sources =
    [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: CHECKOUT })].map(textOf).join("\n") + textOf("volume");
  const joined = sources.replaceAll(/["`]\s*\+\s*["`]/g, "");
  const text = textOf("docs/troubleshooting.md");
  const quoted = [...text.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`([^`]+)`/g)].map(([, message]) => message!),
  );
  expect(quoted.length).toBeGreaterThan(50);
  expect(quoted.filter((message) => !fragments(message).every((part) => joined.includes(part)))).toEqual([]);
  const said = [...textOf("volume").matchAll(/\bfail "((?:[^"\\]|\\.)*)"/g)].map(([, message]) =>
    message!.replaceAll(/\$(\{[^}]*\}\}?|\w+)/g, "…").replaceAll(/\\./g, "…"),
  );
  const missing = said.filter((message) => !fragments(message).some((part) => text.includes(part.slice(0, 24))));
  expect(missing).toEqual([]);
});
