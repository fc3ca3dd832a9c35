// Owns a real browser: a headless Chromium, driven by its DevTools protocol over a WebSocket.
import { temporaryFolder } from "./folder";
import { holding } from "./holding";
import { RunningProcess } from "./process";
import { within } from "./until";

const ANSWER_DEADLINE_MS = 20_000;

/** Why there is no browser to test with; undefined if there is one. */
export function whyNoBrowser(): string | undefined {
  return Bun.which("chromium") ? undefined : "chromium is not installed";
}

type Reply = { id?: number; method?: string; params?: Record<string, unknown>; result?: unknown; error?: unknown };
type Look = { width: number; height: number; scheme: "light" | "dark" };

/** One page of a browser. */
export class Page implements AsyncDisposable {
  /** What went wrong in it: exceptions, refusals of its policy, errors on the console. */
  readonly errors: string[] = [];
  readonly #socket: WebSocket;
  readonly #held: AsyncDisposableStack;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #session: string | undefined;
  #last = 0;

  constructor(socket: WebSocket, held: AsyncDisposableStack) {
    this.#socket = socket;
    this.#held = held;
    socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(String(data)) as Reply));
  }

  /** Opens a page of its own in the browser. */
  async attach(): Promise<void> {
    const { targetId } = (await this.#ask("Target.createTarget", { url: "about:blank" })) as { targetId: string };
    const attached = await this.#ask("Target.attachToTarget", { targetId, flatten: true });
    this.#session = (attached as { sessionId: string }).sessionId;
    for (const domain of ["Page", "Runtime", "Log"]) await this.#ask(`${domain}.enable`);
  }

  async open(url: string): Promise<void> {
    await this.#ask("Page.navigate", { url });
  }

  /** Shows it on a screen like this. */
  async look({ width, height, scheme }: Look): Promise<void> {
    const screen = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#ask("Emulation.setDeviceMetricsOverride", screen);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.#ask("Emulation.setEmulatedMedia", { features });
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const asked = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = (await this.#ask("Runtime.evaluate", asked)) as {
      result: { value: T };
      exceptionDetails?: { text: string };
    };
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`);
    return result.value;
  }

  /** The text that a reader sees in an element. */
  textOf(selector: string): Promise<string> {
    return this.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
  }

  /** A picture of the whole page, as PNG. */
  async picture(): Promise<Buffer> {
    const shot = await this.#ask("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    return Buffer.from((shot as { data: string }).data, "base64");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#held.disposeAsync();
  }

  #ask(method: string, params: object = {}): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(++this.#last, answer);
    this.#socket.send(JSON.stringify({ id: this.#last, method, params, sessionId: this.#session }));
    return within(answer.promise, { what: `the browser answers ${method}`, deadlineMs: ANSWER_DEADLINE_MS });
  }

  #hear({ id, method, params, result, error }: Reply): void {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(JSON.stringify(error)));
      else waiting?.resolve(result);
      return;
    }
    const entry = params?.["entry"] as { level: string; text: string } | undefined;
    const isError = method === "Runtime.consoleAPICalled" && /^(error|warning|assert)$/.test(String(params?.["type"]));
    if (method === "Runtime.exceptionThrown" || isError) this.errors.push(JSON.stringify(params));
    if (method === "Log.entryAdded" && entry && entry.level !== "verbose") this.errors.push(JSON.stringify(entry));
  }
}

/** An empty page in a browser of its own, which goes with it. */
export async function startBrowser(): Promise<Page> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    const own = ["--remote-debugging-port=0", `--user-data-dir=${folder.path}`, "--disable-background-networking"];
    const command = ["chromium", ...flags, ...own, "about:blank"];
    const browser = held.use(new RunningProcess({ command, env: { HOME: folder.path } }));
    const [, url] = await browser.says(/DevTools listening on (ws:\S+)/);
    const socket = new WebSocket(url!);
    const opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", () => reject(new Error("the browser takes no connection")));
    });
    await within(opened, { what: "the browser is connected" });
    const page = new Page(socket, held);
    await page.attach();
    return page;
  });
}
