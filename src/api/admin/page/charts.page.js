// The charts of the page: lines over the last hour, with their numbers now, or at the moment under the pointer.

/** How long the charts may be: the last hour, or less while the master is young. */
const spans = [5, 15, 30, 60].map((minutes) => minutes * 60);
const spanOf = () => {
  const age = samples.length === 0 ? 0 : Date.now() / 1000 - samples[0].at;
  return spans.find((span) => span >= age) ?? spans.at(-1);
};

/** The charts: their title, how numbers are shown, and up to three lines, each with its name. */
const charts = [
  { title: "Requests", show: perSecond, lines: { reads: "reads", writes: "writes", deletes: "deletes" } },
  { title: "Answers of 500 and above", show: perSecond, lines: { failures: "failures" } },
  { title: "Time of a read", show: seconds, lines: { readMedian: "half within", readSlow: "99 % within" } },
  { title: "Time of a write", show: seconds, lines: { writeMedian: "half within", writeSlow: "99 % within" } },
  { title: "Values that come in", show: bytesPerSecond, lines: { receivedBytes: "" } },
  { title: "Free on all disks", show: bytes, lines: { freeBytes: "" } },
  { title: "Keys to look after", show: count, lines: { toHeal: "to heal", owed: "owed" } },
  { title: "Processor", show: cores, lines: { cpu: "" } },
];
let samples = [];
let hovered; // Index of the sample under the pointer.

function makeChart({ title, show, lines }) {
  const names = Object.keys(lines);
  const values = names.map(() => make("b"));
  const keys = names.map((name, i) => {
    const stroke = make("svg", { viewBox: "0 0 24 8" }, make("path", { class: `line${i}`, d: "M1 4h22" }));
    return make("span", {}, ...(names.length > 1 ? [stroke] : []), `${lines[name]} `, values[i]);
  });
  const paths = names.map((_, i) => make("path", { class: `line${i}` }));
  const area = make("path", { class: "area" });
  const hair = make("path", { class: "hair" });
  const frame = make("path", { class: "frame", d: "M0 99.5h600M0 50h600" });
  const attributes = { viewBox: "0 0 600 100", preserveAspectRatio: "none", role: "img", "aria-label": title };
  const most = make("span", { class: "most" });
  const none = make("span", { class: "none" });
  const plot = make("div", { class: "plot" }, most, make("svg", attributes, frame, area, ...paths, hair), none);
  plot.addEventListener("pointermove", ({ clientX }) => {
    const { left, width } = plot.getBoundingClientRect();
    const at = Date.now() / 1000 - spanOf() * (1 - (clientX - left) / width);
    const distances = samples.map((sample) => Math.abs(sample.at - at));
    hovered = distances.indexOf(Math.min(...distances));
    drawAll();
  });
  plot.addEventListener("pointerleave", () => {
    hovered = undefined;
    drawAll();
  });
  const begin = make("span");
  const times = make("div", { class: "times" }, begin, make("span", {}, "now"));
  const figure = make(
    "figure",
    {},
    make("figcaption", {}, title),
    make("div", { class: "legend" }, ...keys),
    plot,
    times,
  );
  return {
    figure,
    draw() {
      const [now, span] = [Date.now() / 1000, spanOf()];
      begin.textContent = `${span / 60} minutes ago`;
      const top = 1.08 * Math.max(0, ...samples.flatMap((sample) => names.map((name) => sample[name] ?? 0)));
      const x = (sample) => (600 * (sample.at - now + span)) / span;
      const y = (value) => 99 - (98 * value) / (top || 1);
      names.forEach((name, i) => {
        let d = "";
        let isOpen = false;
        for (const sample of samples) {
          const value = sample[name];
          if (value !== null)
            d += `${isOpen ? "L" : "M"}${x(sample).toFixed(1)} ${y(value).toFixed(1)}${isOpen ? "" : "h0"}`;
          isOpen = value !== null;
        }
        paths[i].setAttribute("d", d);
        const chosen = samples.at(hovered ?? -1)?.[name] ?? null;
        values[i].textContent = chosen === null ? "–" : show(chosen);
        if (i > 0 || samples.length < 2) return;
        const isWhole = samples.every((sample) => sample[name] !== null);
        area.setAttribute("d", isWhole ? `${d}L${x(samples.at(-1))} 99L${x(samples[0])} 99Z` : "");
      });
      const chosen = samples[hovered];
      hair.setAttribute("d", chosen ? `M${x(chosen)} 0V99` : "");
      most.textContent = top > 0 ? show(top / 1.08) : "";
      const isEmpty = samples.every((sample) => names.every((name) => sample[name] === null));
      none.textContent =
        samples.length === 0 ? "the first point comes in a moment" : isEmpty ? "nothing to show yet" : "";
    },
  };
}

const drawn = charts.map(makeChart);
byId("charts").append(...drawn.map(({ figure }) => figure));

function drawAll() {
  for (const { draw } of drawn) draw();
  const chosen = samples[hovered];
  byId("moment").textContent = chosen ? `at ${new Date(chosen.at * 1000).toLocaleTimeString()}` : "";
}
