// What the parts of the page share: elements, numbers as people read them, the shapes of states.
// Whatever is shown is made as text, never as HTML: names of volumes and errors of disks come from elsewhere.
"use strict";

const byId = (id) => document.getElementById(id);

/** An HTML or SVG element; children are elements or texts. */
function make(name, attributes = {}, ...children) {
  const isSvg = ["svg", "path"].includes(name);
  const made = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

const inUnits = (value, units, step) => {
  let unit = 0;
  for (; value >= step && unit < units.length - 1; unit++) value /= step;
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${units[unit]}`;
};
const bytes = (value) => inUnits(value, [" B", " kB", " MB", " GB", " TB", " PB"], 1000);
const count = (value) => inUnits(value, ["", "k", "M", "G"], 1000);
const seconds = (value) => inUnits(value * 1e6, [" µs", " ms", " s"], 1000);
const perSecond = (value) => `${count(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;
const cores = (value) => `${value.toFixed(2)} cores`;
const things = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

function ago(since) {
  const passed = Math.max(0, Date.now() - since) / 1000;
  for (const [length, name] of [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
  ])
    if (passed >= length) return things(Math.floor(passed / length), name);
  return things(Math.floor(passed), "second");
}

/** Each state has its own shape. */
const shapes = {
  up: "M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1",
  down: "M3 1 8 6l5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z",
  full: "M1 1h14v14H1z",
  "read-only": "M1 5h14v6H1z",
  foreign: "M8 1l7.5 14H.5z",
};
const words = { up: "up", down: "down", full: "full", "read-only": "read-only", foreign: "replaced?" };
const worst = ["down", "foreign", "read-only", "full", "up"];

function mark(state, title) {
  const attributes = { class: `mark ${state}`, viewBox: "0 0 16 16", role: "img", "aria-label": title };
  return make("svg", attributes, make("path", { d: shapes[state] }));
}

function titled(element, title) {
  element.title = title;
  return element;
}
