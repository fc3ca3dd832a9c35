// Owns reading TypeScript as far as the house rules need it: which modules a file imports, and how long its functions
// are. A scanner and not a parser: it knows strings, templates, comments and regular expressions, and matches brackets.

export interface Token {
  kind: "word" | "string" | "template" | "regex" | "sign";
  text: string;
  line: number;
}

export interface FunctionSpan {
  name: string;
  line: number;
  lines: number;
}

/** The tokens of a source; comments are left out. */
export function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  const braces: boolean[] = []; // For each open brace whether it is the `${` of a template.
  let at = 0;
  let line = 1;
  const add = (kind: Token["kind"], text: string) => {
    if (text) tokens.push({ kind, text, line });
    line += text.split("\n").length - 1;
    at += text.length;
  };
  const template = () => {
    const part = match(source, at, /[`}](?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)?/y);
    add("template", part);
    if (part.endsWith("${")) braces.push(true);
  };
  while (at < source.length) {
    const character = source[at]!;
    const skipped = match(source, at, /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y);
    if (skipped) {
      line += skipped.split("\n").length - 1;
      at += skipped.length;
    } else if (character === "`") template();
    else if (character === "}" && braces.pop()) template();
    else if (character === '"' || character === "'")
      add("string", match(source, at, /"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'/y) || character);
    else if (character === "/" && regexMayFollow(tokens.at(-1)))
      add("regex", match(source, at, /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y) || character);
    else if (/[\w$#]/.test(character)) add("word", match(source, at, /[\w$#]+/y));
    else {
      if (character === "{") braces.push(false);
      add("sign", match(source, at, /=>/y) || character);
    }
  }
  return tokens;
}

/** The specifiers of all imports and re-exports, type imports and dynamic ones included. */
export function importsOf(source: string): string[] {
  const tokens = tokensOf(source);
  return tokens.flatMap((token, i) => {
    if (token.kind !== "string") return [];
    const [before, twoBefore] = [tokens[i - 1]?.text, tokens[i - 2]?.text];
    const imported =
      before === "from" || before === "import" || (before === "(" && /^(import|require)$/.test(twoBefore ?? ""));
    return imported ? [token.text.slice(1, -1)] : [];
  });
}

/** Whether the source calls this function by its bare name; a method of that name, defined or called, does not count. */
export function calls(source: string, name: string): boolean {
  const tokens = tokensOf(source);
  const closing = matchBrackets(tokens);
  return tokens.some(({ kind, text }, i) => {
    if (kind !== "word" || text !== name || tokens[i + 1]?.text !== "(") return false;
    if (/^(\.|function|async|#)$/.test(tokens[i - 1]?.text ?? "")) return false;
    return !/^[{:]$/.test(tokens[closing.get(i + 1)! + 1]?.text ?? "");
  });
}

/** All functions with a body in braces, with the lines from their name to the closing brace. */
export function functionsOf(source: string): FunctionSpan[] {
  const tokens = tokensOf(source);
  const closing = matchBrackets(tokens);
  const opening = new Map([...closing].map(([open, close]) => [close, open]));
  const found: FunctionSpan[] = [];
  for (const [i, token] of tokens.entries()) {
    if (token.text !== "{" || token.kind !== "sign") continue;
    const start = headOf(tokens, i, opening);
    const end = closing.get(i);
    if (start === undefined || end === undefined) continue;
    const name = tokens[start]!;
    found.push({
      name: name.kind === "word" ? name.text : "=>",
      line: name.line,
      lines: tokens[end]!.line - name.line + 1,
    });
  }
  return found;
}

const BLOCKS = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);
const NO_TYPE = /^(class|interface|enum|namespace|else|try|finally|do|return|const|let|var|import|export)$/;
const TYPE_SIGNS = new Set([".", "<", ">", "|", "&", ",", "[", "]", ")", "}", "?", "=>"]);

/** The index of the token that begins the function whose body this brace opens; undefined if it opens no function. */
function headOf(tokens: Token[], brace: number, opening: Map<number, number>): number | undefined {
  if (tokens[brace - 1]?.text === "=>") return arrowStart(tokens, brace - 1, opening);
  const parameters = parametersBefore(tokens, brace, opening);
  if (parameters === undefined) return undefined;
  let name = parameters - 1;
  if (tokens[name]?.text === ">") while (name > 0 && tokens[name]?.text !== "<") name--;
  if (tokens[name]?.text === "<") name--;
  return BLOCKS.has(tokens[name]?.text ?? "") ? undefined : Math.max(name, 0);
}

/** The index of the parenthesis that opens the parameter list before a body, past a return type if there is one. */
function parametersBefore(tokens: Token[], brace: number, opening: Map<number, number>): number | undefined {
  const before = tokens[brace - 1];
  if (before?.text === ")") return opening.get(brace - 1);
  if (before?.kind === "sign" && !/^[>\]}]$/.test(before.text)) return undefined; // A type or an object begins here.
  for (let i = brace - 1; i > 0; i--) {
    const token = tokens[i]!;
    if (token.text === ":" && tokens[i - 1]?.text === ")") return opening.get(i - 1);
    if (token.kind === "sign" ? !TYPE_SIGNS.has(token.text) : NO_TYPE.test(token.text)) return undefined;
    if (opening.has(i)) i = opening.get(i)!;
  }
  return undefined;
}

function arrowStart(tokens: Token[], arrow: number, opening: Map<number, number>): number {
  if (tokens[arrow - 1]?.text === ")") return opening.get(arrow - 1) ?? arrow;
  return parametersBefore(tokens, arrow, opening) ?? arrow - 1;
}

/** The index of each opening bracket with that of its closing one. */
function matchBrackets(tokens: Token[]): Map<number, number> {
  const pairs = new Map<number, number>();
  const open: number[] = [];
  for (const [i, { kind, text }] of tokens.entries()) {
    const opens = (kind === "sign" && /^[({[]$/.test(text)) || (kind === "template" && text.endsWith("${"));
    const closes = (kind === "sign" && /^[)}\]]$/.test(text)) || (kind === "template" && text.startsWith("}"));
    if (closes && open.length > 0) pairs.set(open.pop()!, i);
    if (opens) open.push(i);
  }
  return pairs;
}

function regexMayFollow(before: Token | undefined): boolean {
  if (!before) return true;
  if (before.kind === "word") return /^(return|typeof|case|in|of|void|delete|await|yield|else|do)$/.test(before.text);
  return before.kind === "sign" && !/^[)\]}]$/.test(before.text);
}

function match(source: string, at: number, pattern: RegExp): string {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0] ?? "";
}
