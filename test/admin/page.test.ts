// The page, in a real browser: what an operator sees of volumes that go, fill up and come back. Nothing else may run in it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startBrowser, whyNoBrowser, type Page } from "../support/browser";
import { Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk, type Disk } from "../support/disk";
import { temporaryFolder } from "../support/folder";
import { freePort } from "../support/ports";
import { until } from "../support/until";
import { startVolume } from "../support/volume";

setDefaultTimeout(90_000);
const why = whyNoBrowser();
if (why) console.log(`skipped: the page, since there is no browser (${why})`);
const EVIL = `<img src=x onerror="document.title='broken into'"> <script>document.title='broken into'</script>`;

/** A volume that answers like one, and says this of its disk. */
function startEvilVolume(error: string) {
  return Bun.serve({
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/mkv/disks") return Response.json({ disks: [{ name: "", error }] });
      return new Response(null, { status: pathname === "/" ? 200 : 404 });
    },
  });
}

/** The state of a volume as it is shown: the word, and that it is what the row is marked with. */
async function shownOf(page: Page, volume: string): Promise<string> {
  const row = `tr[data-volume="${volume}"]`;
  return await page.evaluate(`(() => {
    const row = document.querySelector('${row}');
    return row ? row.dataset.state + " " + row.querySelector(".state").innerText.trim() : "";
  })()`);
}

test.skipIf(why !== undefined)("the page shows volumes as they are, and follows them by itself", async () => {
  await using held = new AsyncDisposableStack();
  const folder = held.use(temporaryFolder());
  const disk: Disk | undefined = whyNoDisk() === undefined ? held.use(smallDisk(8_000_000)) : undefined;
  const tight = held.use(await startVolume(disk && { dir: disk.path }));
  const volumes = [tight, held.use(await startVolume()), held.use(await startVolume())];
  using evil = startEvilVolume(EVIL);
  const port = await freePort();
  const flags = ["-adminport", String(port), "-minreplicas", "1"];
  const cluster = held.use(
    new Cluster(volumes, join(folder.path, "index"), flags, undefined, new AsyncDisposableStack()),
  );
  await cluster.startMaster(flags, [...cluster.addresses, `localhost:${evil.port}`]);
  const page = held.use(await startBrowser());
  await page.open(`http://localhost:${port}/`);
  const shows = (volume: string, state: string) =>
    until(async () => (await shownOf(page, volume)) === state, {
      what: `${volume} is shown as ${state}`,
      deadlineMs: 20_000,
    });
  const [first, second] = cluster.addresses as [string, string];
  for (const volume of cluster.addresses) await shows(volume, "up up");

  await volumes[1]!.kill();
  await shows(second, "down down");
  expect(await page.textOf("#problems")).toContain(`${second} is down`);
  await volumes[1]!.start();
  await shows(second, "up up");
  if (disk) {
    await disk.fill(0);
    for (let i = 0; (await shownOf(page, first)) !== "full full"; i++) await cluster.ask("PUT", `/${i}`, { body: "x" });
    expect(await page.textOf("#problems")).toContain(`${first} is full`);
  }

  const charts = async () => await page.evaluate<number>(`document.querySelectorAll("figure path.line0[d^=M]").length`);
  await until(async () => (await charts()) >= 5, { what: "there is a first point of the charts", deadlineMs: 30_000 });
  expect(await page.textOf("figure .legend")).toMatch(/^reads [\d.]+k?\/s/);
  const toldOf = async () => (await page.textOf("#problems")).includes(EVIL);
  await until(toldOf, { what: "what a disk says is shown as text" });
  expect(await page.evaluate<number>(`document.querySelectorAll("main img, main script").length`)).toBe(0);
  expect(await page.evaluate<string>("document.title")).not.toContain("broken");
  for (const [width, scheme] of [
    [390, "dark"],
    [1200, "light"],
  ] as const) {
    await page.look({ width, height: 800, scheme });
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
  }
  await cluster.master.kill();
  const stale = async () => /has not answered for/.test(await page.textOf("#verdict"));
  await until(stale, { what: "it says that nobody answers", deadlineMs: 20_000 });
  expect(page.errors.filter((error) => !error.includes("ERR_CONNECTION_REFUSED"))).toEqual([]);
});
