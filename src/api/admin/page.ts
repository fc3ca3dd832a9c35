// Owns the page for people: one HTML that needs nothing else, of no other host; its parts lie in `page/`.
// Nothing but its own script and styles runs in it, which a hash says.
import chartsStyle from "./page/charts.css" with { type: "text" };
import charts from "./page/charts.page.js" with { type: "text" };
import client from "./page/client.page.js" with { type: "text" };
import elements from "./page/elements.page.js" with { type: "text" };
import pageStyle from "./page/page.css" with { type: "text" };
import html from "./page/page.html" with { type: "text" };

const style = pageStyle + chartsStyle;
const script = elements + charts + client;
const page = (html as unknown as string)
  .replace("<style></style>", () => `<style>${style}</style>`)
  .replace("<script></script>", () => `<script>${script}</script>`);

const policy = [
  ...["default-src 'none'", `script-src '${hashOf(script)}'`, `style-src '${hashOf(style)}'`, "img-src data:"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

const headers = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": policy,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export function answerPage(): Response {
  return new Response(page, { headers });
}

function hashOf(text: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
