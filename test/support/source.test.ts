import { expect, test } from "bun:test";
import { calls, functionsOf, importsOf, tokensOf } from "./source";

const body = "{\n  a;\n}";

test.each([
  [`function plain() ${body}`, "plain"],
  [`async function typed(a: string): Promise<Map<string, { b: number }>> ${body}`, "typed"],
  [`function generic<T>(a: T): asserts a is string ${body}`, "generic"],
  [`class A { method(a = () => 1): void ${body} }`, "method"],
  [`class A { async *items(): AsyncGenerator<[number, string]> ${body} }`, "items"],
  [`class A { constructor(readonly a: string) ${body} }`, "constructor"],
  [`class A { get #size(): number ${body} }`, "#size"],
  [`const f = (a: string) => ${body}`, "=>"],
  [`const f = async (a: string): Promise<void> => ${body}`, "=>"],
  [`const f = a => ${body}`, "a"],
  ["const s = `${list.map((x) => " + body + ")}`", "=>"],
])("the scanner sees one function of three lines in %j", (source, name) => {
  expect(functionsOf(source)).toEqual([{ name, line: 1, lines: 3 }]);
});

test.each([
  `if (a) ${body}`,
  `for await (const a of b) ${body}`,
  `switch (f(x)) ${body}`,
  `try ${body} catch (e) ${body} finally ${body}`,
  `class A extends B<C> ${body}`,
  `interface A ${body}`,
  `interface F { (a: string): void }\nclass A ${body}`,
  `import { a } from "b"; type F = (a: string): void; const { c } = d; try ${body} finally ${body}`,
  `const a = f(b) ? f(c) : ${body}`,
  `const a = { b: f(c), d: ${body} }`,
  `type A = Record<string, { a: string }> & ${body}`,
  "const a = '(x) => {'; // () => {\n/* function f() { */",
])("the scanner sees no function in %j", (source) => {
  expect(functionsOf(source)).toEqual([]);
});

test("a function's length includes what it nests, and what it nests has a length of its own", () => {
  const source =
    "function outer() {\n  return [1].map((x) => {\n    return x / 2 / 3;\n  });\n}\nfunction next() {\n}\n";
  expect(functionsOf(source)).toEqual([
    { name: "outer", line: 1, lines: 5 },
    { name: "=>", line: 2, lines: 3 },
    { name: "next", line: 6, lines: 2 },
  ]);
});

test("brackets in strings, templates, comments and regular expressions do not count", () => {
  const source =
    "function f() {\n  g(\"}\", '{', `}${h({ a: `{` })}{`, /[/}]\\/{/g, 4 / 2); // }\n  /* } */\n}\nconst a = 1;";
  expect(functionsOf(source)).toEqual([{ name: "f", line: 1, lines: 4 }]);
  expect(tokensOf("a /* x */ / b / `c${d}e`").map(({ text }) => text)).toEqual([
    "a",
    "/",
    "b",
    "/",
    "`c${",
    "d",
    "}e`",
  ]);
});

test("imports of every form are seen, and only those", () => {
  const source = `import a from "one"; import type { B } from './two'; import "three"; export * from "four";
    export { type c, d } from "five"; const e = await import("six"); // import "seven"
    const f = "eight", from = g("nine"); const h = \`import "ten"\`; const i = require("eleven");`;
  expect(importsOf(source)).toEqual(["one", "./two", "three", "four", "five", "six", "eleven"]);
});

test("a call is told from a method of the same name", () => {
  for (const source of ["fetch(url)", "await fetch(url, { a })", "x = [fetch(a), 1]"])
    expect(calls(source, "fetch")).toBe(true);
  for (const source of [
    "serve({ fetch(a, b) { c; } })",
    "a.fetch(b)",
    "async function fetch(a) {}",
    "class A { fetch(a): B {} }",
    "'fetch(a)'",
  ])
    expect(calls(source, "fetch")).toBe(false);
});
