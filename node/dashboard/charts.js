// Pictures of where the time of a job goes: a waterfall of its hops and a strip
// of its tokens. Pure descriptions; each has a table beside it.

import { h } from "./dom.js";
import { layers, short, span } from "./text.js";

const WIDTH = 760;
const NAME = 150;
const VALUE = 150;
const ROW = 34;
/** Tokens over which the speed is taken. */
const SPEED_TOKENS = 16;

/**
 * @typedef {object} Row one part of the way of a token
 * @property {string} name
 * @property {"wait" | "compute" | "wire"} kind
 * @property {number} p50 µs @property {number} p95 µs
 */

/**
 * The way of a token through a job, as rows in order.
 * @param {any} run RunDetailView, or RunView where nothing finer is known
 * @returns {Row[]}
 */
export function rows(run) {
  /** @type {Row[]} */
  const found = [];
  const isFine = Boolean(run.hops?.length);
  if (!isFine && !run.stages.some((/** @type {any} */ stage) => stage.compute_us_per_token > 0)) return found;
  run.stages.forEach((/** @type {any} */ stage, /** @type {number} */ at) => {
    const name = `${at + 1} · ${short(stage.peer)} ${layers(stage.layers)}`;
    const hop = run.hops?.find((/** @type {any} */ one) => one.stage === at);
    if (hop) {
      found.push({ name, kind: "wait", ...hop.wait_us });
      found.push({ name, kind: "compute", ...hop.compute_us });
      // A worker cannot know the wire, nor what comes after its own stage.
      if (run.role !== "worker") found.push({ name, kind: "wire", ...hop.wire_us });
    } else if (!isFine) {
      const [idle, compute] = [stage.hop_us_per_token, stage.compute_us_per_token];
      found.push({ name, kind: "compute", p50: compute, p95: compute });
      found.push({ name, kind: "wire", p50: idle, p95: idle });
    }
  });
  return found;
}

/** A wide picture, in a frame that scrolls where there is too little room. @param {string} label @param {any} picture */
const framed = (label, picture) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, picture);

/** @param {Row[]} all */
export function waterfall(all) {
  const groups = [...new Set(all.map((row) => row.name))];
  const total = all.reduce((time, row) => time + row.p50, 0);
  const longest = Math.max(1, total, ...all.map((row) => row.p95));
  const room = WIDTH - NAME - VALUE;
  const scale = (/** @type {number} */ us) => (us / longest) * room;
  const height = groups.length * ROW + 22;
  let at = 0;
  const bars = all.map((row, index) => {
    const y = groups.indexOf(row.name) * ROW + 6;
    const x = NAME + scale(at);
    at += row.p50;
    const width = Math.max(1, scale(row.p50));
    const tail = Math.min(scale(row.p95), WIDTH - VALUE - x);
    return h("g", { key: index },
      h("title", null, `${row.name} ${row.kind}: p50 ${span(row.p50)}, p95 ${span(row.p95)}`),
      h("rect", { class: row.kind, x: x.toFixed(1), y, width: width.toFixed(1), height: 12, rx: 1 }),
      h("rect", { class: `${row.kind} tail`, x: x.toFixed(1), y: y + 14, width: Math.max(1, tail).toFixed(1), height: 4, rx: 1 }));
  });
  const names = groups.map((name, index) => {
    const own = all.filter((row) => row.name === name);
    const y = index * ROW + 16;
    return h("g", { key: name },
      h("line", { x1: 0, x2: WIDTH, y1: (index + 1) * ROW, y2: (index + 1) * ROW }),
      h("text", { class: "name", x: 0, y }, name),
      h("text", { x: WIDTH, y, "text-anchor": "end" }, own.map((row) => span(row.p50)).join(" + ")));
  });
  return framed("A token's way", h("svg", {
    class: "waterfall", viewBox: `0 0 ${WIDTH} ${height}`, role: "img",
    "aria-label": `Where the ${span(total)} of a token go, hop by hop; the table says the same`,
  },
    names, bars,
    h("text", { x: NAME, y: height - 4 }, "0"),
    h("text", { x: NAME + room, y: height - 4, "text-anchor": "end" }, span(longest))));
}

/** Speed at each token, over the ones before it. @param {any[]} tokens */
export function speeds(tokens) {
  const found = [];
  let time = 0;
  for (let at = 0; at < tokens.length; at += 1) {
    time += tokens[at].interval_us;
    if (at >= SPEED_TOKENS) time -= tokens[at - SPEED_TOKENS].interval_us;
    found.push((Math.min(at + 1, SPEED_TOKENS) * 1_000_000) / Math.max(1, time));
  }
  return found;
}

/** @param {any} token @returns {[number, number, number]} compute, wait, wire in µs */
export const partsOf = (token) => [
  token.stages.reduce((/** @type {number} */ time, /** @type {any} */ stage) => time + stage.compute_us, 0),
  token.stages.reduce((/** @type {number} */ time, /** @type {any} */ stage) => time + stage.wait_us, 0),
  token.wire_us,
];

/** @param {any[]} tokens newest last */
export function tokenStrip(tokens) {
  const height = 130;
  const base = height - 16;
  const top = 14;
  const all = tokens.map(partsOf);
  // A few stragglers must not press the rest flat: they are cut at the top.
  const sums = all.map(([a, b, c]) => a + b + c).sort((a, b) => a - b);
  const cut = Math.max(1, (sums[Math.floor(sums.length * 0.98)] ?? 1) * 1.15);
  const width = WIDTH / Math.max(1, tokens.length);
  const y = (/** @type {number} */ us) => Math.max(top, base - (us / cut) * (base - top));
  const paths = ["", "", ""];
  all.forEach((parts, at) => {
    let from = 0;
    parts.forEach((part, kind) => {
      const [low, high] = [y(from), y(from + part)];
      from += part;
      const [x, right] = [(at * width).toFixed(2), ((at + 1) * width - Math.min(0.6, width / 4)).toFixed(2)];
      paths[kind] += `M${x} ${low.toFixed(1)}V${high.toFixed(1)}H${right}V${low.toFixed(1)}Z`;
    });
  });
  const rates = speeds(tokens);
  const fastest = Math.max(1, ...rates);
  const line = rates.map((rate, at) => `${((at + 0.5) * width).toFixed(2)},${(base - (rate / fastest) * (base - top) * 0.92).toFixed(1)}`).join(" ");
  return framed("Token by token", h("svg", { class: "perToken", viewBox: `0 0 ${WIDTH} ${height}`, role: "img",
    "aria-label": `${tokens.length} tokens: compute, wait and wire of each, and the speed over ${SPEED_TOKENS}` },
    ["compute", "wait", "wire"].map((name, kind) => h("path", { key: name, class: name, d: paths[kind] })),
    h("line", { x1: 0, x2: WIDTH, y1: base, y2: base }),
    h("polyline", { class: "rate", points: line }),
    h("text", { x: 0, y: 10 }, `${span(cut)} a token`),
    h("text", { x: WIDTH, y: 10, "text-anchor": "end" }, `line: speed, at most ${fastest.toFixed(0)} tokens/s`),
    h("text", { x: 0, y: height - 3 }, `first of the newest ${tokens.length}`),
    h("text", { x: WIDTH, y: height - 3, "text-anchor": "end" }, "last")));
}

export const legend = () => h("p", { class: "legend" },
  h("span", null, h("i", { class: "wait" }), "wait in a stage: its queue, and others' work in the same step"),
  h("span", null, h("i", { class: "compute" }), "compute"),
  h("span", null, h("i", { class: "wire" }), "wire to the next stage"),
  h("span", null, "thick: p50, thin: p95"));
