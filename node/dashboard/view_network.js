// "Network": who is connected, how far away, and who serves what.

import { coverage } from "./coverage.js";
import { h, once } from "./dom.js";
import { Graph, NODES_MAX } from "./graph.js";
import { state } from "./store.js";
import { bytes, layers, plural, short, span } from "./text.js";
import { empty, idLink, section, table, command, waiting } from "./widgets.js";

export const title = "Network";

/** Clocks may differ so much before it is shown as wrong. */
const CLOCK_MS_MAX = 5000;

/** @type {Graph | null} */
let graph = null;

/** @param {any} served */
const servedText = (served) => `${served.name} ${layers(served.layers)}`;

/** @param {any} status @param {any[]} peers @returns {import("./graph.js").Drawn[]} */
function drawn(status, peers) {
  const own = {
    id: status.wallet, name: "this node", part: status.serving.map(servedText).join(", "), rttUs: null,
    isRelayed: false, isMarked: false, isServing: status.serving.length > 0,
  };
  return [own, ...peers.map((peer) => ({
    id: peer.wallet,
    name: peer.label ?? short(peer.wallet),
    part: peer.serving.map(servedText).join(", "),
    // Two digits are enough for a picture, and keep it still.
    rttUs: peer.rtt_us === null || peer.rtt_us === undefined ? null : Number(Number(peer.rtt_us).toPrecision(2)),
    isRelayed: Boolean(peer.is_relayed),
    isMarked: peer.marks > 0,
    isServing: peer.serving.length > 0,
  }))];
}

/** @param {any} status @param {any[]} peers */
function picture(status, peers) {
  if (peers.length > NODES_MAX) return empty(`${peers.length} peers are too many for a picture; the table has them all.`);
  const nodes = drawn(status, peers);
  // The graph moves by itself; it only needs to hear who is there.
  queueMicrotask(() => graph?.show(nodes));
  const words = `${plural(peers.length, "peer")} around this node; the table below says the same`;
  return h("svg", {
    class: "graph", role: "img", "aria-label": words, preserveAspectRatio: "xMidYMid meet",
    mount: (/** @type {SVGSVGElement} */ svg) => {
      const own = new Graph(svg);
      graph = own;
      return () => {
        own.end();
        if (graph === own) graph = null;
      };
    },
  });
}

/** @param {any} peer */
const speedOf = (peer) => Math.max(0, ...peer.serving.map((/** @type {any} */ served) => served.layers_per_second));

/** By how much a peer's clock is ahead of ours. @param {any} peer */
function clockOf({ clock_offset_ms: offset }) {
  if (offset === null || offset === undefined) return "–";
  const text = `${offset > 0 ? "+" : offset < 0 ? "−" : ""}${Math.abs(offset)} ms`;
  return Math.abs(offset) > CLOCK_MS_MAX ? h("span", { class: "bad" }, text) : text;
}

const peersTable = once((/** @type {any[]} */ peers) => table("Peers",
  ["peer", "serves", "#layers/s", "#round trip", "path", "version", "#clock", "address", "#marks"],
  peers.map((peer) => ({
    key: peer.peer_id,
    class: peer.marks > 0 ? "bad" : "",
    cells: [
      [peer.label ? `${peer.label} ` : null, idLink("wallet", peer.wallet)],
      peer.serving.map(servedText).join(", ") || h("span", { class: "muted" }, "nothing"),
      speedOf(peer) || "–",
      span(peer.rtt_us),
      `${peer.is_relayed ? "relayed" : "direct"}${peer.direction ? `, ${peer.direction}` : ""}${peer.is_member === false ? ", not named yet" : ""}`,
      peer.software ?? "–",
      clockOf(peer),
      h("code", { class: "long" }, peer.address),
      peer.marks ? h("span", { class: "bad", title: peer.last_mark }, `${peer.marks}: ${peer.last_mark}`) : "0",
    ],
  }))));

/** @param {any} status */
const own = (status) => h("p", { class: "muted" }, "This node: ",
  status.serving.length
    ? status.serving.map((/** @type {any} */ one) => `${servedText(one)}, ${one.layers_per_second} layers/s, ${bytes(one.bytes)}`).join("; ")
    : "serves nothing", ". ", h("code", { class: "long" }, status.addresses[0] ?? ""));

const body = once((/** @type {any} */ status, /** @type {any[]} */ peers) => [
  h("div", { class: "map", key: "map" },
    section("Peers", plural(peers.length, "connected peer"), picture(status, peers),
      h("p", { class: "legend" }, h("span", null, "further out: longer round trip"), h("span", null, "dashed: relayed"), h("span", { class: "bad" }, "red: marked for bad behaviour"))),
    section("Layers served", status.models.length ? plural(status.models.length, "model") : null,
      status.models.length ? status.models.map((/** @type {any} */ model) => coverage(model, status, peers)) : empty("No model is known here."))),
  section("All peers", null,
    peers.length ? peersTable(peers) : h("div", { class: "steps" },
      h("div", null, h("p", null, "Nobody is connected. Make a ticket:"), command("talkoot invite")),
      h("div", null, h("p", null, "and use it on the next machine:"), command("talkoot join TICKET"))),
    own(status)),
]);

export function render() {
  if (!state.status) return waiting(state);
  return body(state.status, state.peers);
}
