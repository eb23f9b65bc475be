// Who serves which layers of a model: lanes of peers over an axis of layers,
// what is missing, and the command that fills it.

import { h } from "./dom.js";
import { gaps, layers, plural, routes } from "./text.js";
import { command, idLink, table, twin } from "./widgets.js";

/** Lanes drawn; the table has all. */
const LANES_MAX = 24;
/** Layers that have their count written above. */
const COUNTED_MAX = 40;

/** @param {number} from @param {number} to @param {number} total */
const place = (from, to, total) => ({ left: `${(100 * from) / total}%`, width: `${(100 * (to - from)) / total}%` });

/**
 * Who serves a model, sorted by where their layers begin.
 * @param {any} model @param {any} status @param {any[]} peers
 * @returns {{wallet: string, name: string, layers: number[], isOwn: boolean}[]}
 */
export function lanes(model, status, peers) {
  /** @param {any} who @param {string} name @param {boolean} isOwn */
  const of = (who, name, isOwn) => who.serving
    .filter((/** @type {any} */ served) => served.model === model.id)
    .map((/** @type {any} */ served) => ({ wallet: who.wallet, name, layers: served.layers, isOwn }));
  return [of(status, "this node", true), ...peers.map((peer) => of(peer, peer.label ?? "", false))].flat()
    .sort((a, b) => a.layers[0] - b.layers[0] || a.layers[1] - b.layers[1] || (a.wallet < b.wallet ? -1 : 1));
}

/** @param {any} model @param {any} status @param {any[]} peers */
export function coverage(model, status, peers) {
  const all = lanes(model, status, peers);
  const holes = gaps(model.coverage);
  const total = Math.max(1, model.layers);
  const complete = routes(model.coverage);
  const words = `${plural(complete, "complete route")}${holes.length ? `; nobody serves ${holes.map((hole) => layers(hole)).join(", ")}` : ""}`;
  return h("div", { class: "model", key: model.id },
    h("h3", null, h("span", null, `${model.name} · ${model.layers} layers · ${model.dtype}`), h("span", { class: complete ? "" : "bad" }, words)),
    h("div", { class: "coverage", role: "img", "aria-label": `${model.name}: ${words}` },
      model.layers <= COUNTED_MAX ? [
        h("span", { key: "axis", class: "muted" }, "peers"),
        h("span", { key: "counts", class: "lane counts" }, model.coverage.map((/** @type {number} */ count, /** @type {number} */ at) =>
          h("span", { key: at, style: place(at, at + 1, total) }, count))),
      ] : null,
      all.slice(0, LANES_MAX).map((lane, at) => [
        h("span", { key: `name${at}` }, lane.name || idLink("wallet", lane.wallet)),
        h("span", { key: `lane${at}`, class: "lane" }, h("span", { class: `served ${lane.isOwn ? "" : "wash"}`, style: place(lane.layers[0], lane.layers[1], total) })),
      ]),
      holes.length ? [
        h("span", { key: "missing", class: "bad" }, "missing"),
        h("span", { key: "gaps", class: "lane" }, holes.map((hole) => h("span", { key: hole[0], class: "gap", style: place(hole[0], hole[1], total) }))),
      ] : null),
    holes.length ? h("ul", { class: "holes" }, holes.map((hole) => h("li", { key: hole[0] },
      `layers ${layers(hole)}: `, command(`talkoot up --model ${model.name} --layers ${layers(hole)}`)))) : null,
    all.length > LANES_MAX ? h("p", { class: "muted" }, `${all.length - LANES_MAX} more in the table`) : null,
    twin(table(`Who serves ${model.name}`, ["peer", "layers"], all.map((lane, at) => ({
      key: at, cells: [[lane.name ? `${lane.name} ` : null, idLink("wallet", lane.wallet)], layers(lane.layers)],
    })))));
}
