// A force layout of a few hundred points and its picture in SVG. The layout is
// pure; the picture owns one SVG element and moves only attributes.

import { h, patch } from "./dom.js";
import { span } from "./text.js";

/** Points that are drawn; beyond that a picture says less than a table. */
export const NODES_MAX = 200;
/** Points that have names beside them. */
const NAMED_MAX = 40;
const REPULSION = 5200;
const SPRING = 0.06;
const GRAVITY = 0.012;
const DAMPING = 0.78;
const COOLING = 0.985;
const STILL = 0.02;

/**
 * @typedef {object} Point
 * @property {string} id
 * @property {number} x @property {number} y @property {number} dx @property {number} dy
 * @property {number} reach wanted distance from the middle
 */

/** How far out a peer stands: further with its round trip. @param {number | null} us */
export const reach = (us) => 90 + 26 * Math.log10(1 + Math.max(0, us ?? 3000) / 200);

/**
 * One step of the forces. The first point is ourselves and stays in the middle.
 * @param {Point[]} points @param {number} heat 0 to 1
 */
export function step(points, heat) {
  const [middle] = points;
  const crowd = REPULSION / Math.sqrt(Math.max(1, points.length / 12));
  for (let a = 1; a < points.length; a += 1) {
    const one = points[a];
    for (let b = 0; b < a; b += 1) {
      const other = points[b];
      const x = one.x - other.x;
      const y = one.y - other.y || 0.01;
      const force = crowd / (x * x + y * y + 60);
      const length = Math.sqrt(x * x + y * y) || 1;
      one.dx += (x / length) * force;
      one.dy += (y / length) * force;
      if (b > 0) {
        other.dx -= (x / length) * force;
        other.dy -= (y / length) * force;
      }
    }
    const x = one.x - middle.x;
    const y = one.y - middle.y;
    const length = Math.sqrt(x * x + y * y) || 1;
    const pull = (one.reach - length) * SPRING;
    one.dx += (x / length) * pull - one.x * GRAVITY;
    one.dy += (y / length) * pull - one.y * GRAVITY;
  }
  for (let a = 1; a < points.length; a += 1) {
    const one = points[a];
    one.dx *= DAMPING;
    one.dy *= DAMPING;
    one.x += Math.max(-20, Math.min(20, one.dx)) * heat;
    one.y += Math.max(-20, Math.min(20, one.dy)) * heat;
  }
}

/** Where a new point begins: around the circle, the same for the same list. @param {string} id @param {number} at @param {number} reach @returns {Point} */
function place(id, at, reach) {
  const angle = at * 2.399963; // the golden angle spreads any number evenly
  return { id, x: Math.cos(angle) * reach, y: Math.sin(angle) * reach * 0.7, dx: 0, dy: 0, reach };
}

/**
 * @typedef {object} Drawn one of the network, as the picture needs it
 * @property {string} id @property {string} name @property {string} part
 * @property {number | null} rttUs @property {boolean} isRelayed
 * @property {boolean} isMarked @property {boolean} isServing
 */

/** The picture. */
export class Graph {
  /** @param {SVGSVGElement} svg */
  constructor(svg) {
    this.svg = svg;
    /** @type {Point[]} */
    this.points = [{ id: "", x: 0, y: 0, dx: 0, dy: 0, reach: 0 }];
    /** @type {Drawn[]} */
    this.nodes = [];
    this.heat = 0;
    this.frame = 0;
    this.box = "";
    this.shape = "";
    this.isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    /** @type {{line: Element | null, label: Element | null, group: Element}[]} */
    this.parts = [];
  }

  /** Shows these; the first is ourselves. @param {Drawn[]} nodes */
  show(nodes) {
    const before = new Map(this.points.map((point) => [point.id, point]));
    const isOther = nodes.length !== this.nodes.length || nodes.some((node) => !before.has(node.id));
    this.nodes = nodes;
    this.points = nodes.map((node, at) => {
      const distance = at === 0 ? 0 : reach(node.rttUs);
      const point = before.get(node.id) ?? place(node.id, at, distance);
      if (at === 0) Object.assign(point, { x: 0, y: 0 });
      point.reach = distance;
      return point;
    });
    const shape = JSON.stringify(nodes);
    if (shape !== this.shape) {
      this.shape = shape;
      this.describe();
      this.put();
    }
    if (isOther) this.warm();
  }

  warm() {
    this.heat = 1;
    if (this.isStill) {
      for (let i = 0; i < 240; i += 1) step(this.points, (this.heat *= COOLING));
      this.heat = 0;
      this.put();
    } else if (!this.frame) this.frame = requestAnimationFrame(() => this.tick());
  }

  tick() {
    this.frame = 0;
    step(this.points, this.heat);
    this.heat *= COOLING;
    this.put();
    if (this.heat > STILL) this.frame = requestAnimationFrame(() => this.tick());
  }

  end() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  /** Describes what stands there; where it stands is `put`'s. */
  describe() {
    const isNamed = this.nodes.length <= NAMED_MAX;
    const [, ...peers] = this.nodes;
    patch(this.svg, [
      h("g", { key: "lines" }, peers.map((node) => h("line", {
        key: node.id, class: `${node.isRelayed ? "relayed" : ""} ${node.isMarked ? "marked" : ""}`,
      }))),
      h("g", { key: "labels" }, isNamed ? peers.map((node) => h("text", { key: node.id, class: "rtt" }, node.rttUs === null ? "" : span(node.rttUs).replace(/\.0+ /, " "))) : null),
      h("g", { key: "nodes" }, this.nodes.map((node, at) => h("g", {
        key: node.id, class: `${at === 0 ? "own" : ""} ${node.isServing ? "serving" : ""} ${node.isMarked ? "marked" : ""}`,
      },
        h("circle", { r: at === 0 ? 9 : isNamed ? 7 : 4 }),
        h("title", null, `${node.name} ${node.part}`),
        isNamed ? h("text", { key: "name", y: -13 }, node.name) : null,
        isNamed && node.part ? h("text", { key: "part", class: "part", y: 20 }, node.part) : null))),
    ]);
    const [lines, labels, groups] = this.svg.children;
    this.parts = this.nodes.map((_, at) => ({
      line: at === 0 ? null : lines.children[at - 1],
      label: at === 0 ? null : labels.children[at - 1] ?? null,
      group: groups.children[at],
    }));
  }

  /** Moves everything to its place, and the window so that all is in it. */
  put() {
    let right = 120;
    let down = 80;
    this.points.forEach((point, at) => {
      const { line, label, group } = this.parts[at];
      const x = point.x.toFixed(1);
      const y = point.y.toFixed(1);
      group.setAttribute("transform", `translate(${x} ${y})`);
      line?.setAttribute("x2", x);
      line?.setAttribute("y2", y);
      if (label) {
        label.setAttribute("x", (point.x * 0.55).toFixed(1));
        label.setAttribute("y", (point.y * 0.55 + 3).toFixed(1));
      }
      right = Math.max(right, Math.abs(point.x) + 40);
      down = Math.max(down, Math.abs(point.y) + 30);
    });
    // In steps, so that the window does not shake.
    const box = [right, down].map((size) => Math.ceil(size / 20) * 20);
    const text = `${-box[0]} ${-box[1]} ${2 * box[0]} ${2 * box[1]}`;
    if (text === this.box) return;
    this.box = text;
    this.svg.setAttribute("viewBox", text);
  }
}
