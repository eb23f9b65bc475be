// Small pieces that several views use. Pure descriptions, no state but the
// mark of what was copied.

import { gft, ratio } from "./amounts.js";
import { h } from "./dom.js";
import { short } from "./text.js";

/** Tells a screen reader. @param {string} text */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** An amount in GFT. @param {any} amount µGFT @param {string} [tone] */
export const amount = (amount, tone = "") => h("span", { class: `num ${tone}` }, gft(amount));

/**
 * An id that leads to its page, in short.
 * @param {"entry" | "job" | "wallet"} kind @param {string | null | undefined} id
 */
export function idLink(kind, id) {
  if (!id) return h("span", { class: "muted" }, "none");
  return h("a", { class: "id", href: `#/ledger/${kind}/${id}`, title: id }, short(id));
}

/** The same at full length. @param {"entry" | "job" | "wallet"} kind @param {string | null | undefined} id */
export function fullLink(kind, id) {
  if (!id) return h("span", { class: "muted" }, "none");
  return h("a", { class: "id long", href: `#/ledger/${kind}/${id}` }, id);
}

/** @param {MouseEvent} event @param {string} text */
async function copy(event, text) {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("copied");
    say("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
  } catch {
    say("the browser does not let this page copy");
  }
}

/** A command for a terminal, with a button that copies it. @param {string} text */
export const command = (text) => h("span", { class: "command" },
  h("code", null, text),
  h("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}`, title: "Copy",
    onclick: (/** @type {MouseEvent} */ event) => copy(event, text) }));

/** @param {string} name @param {any} value @param {any} [more] below it */
export const figure = (name, value, more) => h("div", { class: "figure", key: name },
  h("dt", null, name), h("dd", null, value), more ? h("dd", { class: "more" }, more) : null);

/**
 * A bar in parts of a whole, each 0 to 1 from the left, later ones on top.
 * @param {string} label what it says in words
 * @param {{part: number, tone: string}[]} parts
 */
export const bar = (label, parts) => h("span", { class: "bar", role: "img", "aria-label": label, title: label },
  parts.map(({ part, tone }) => h("span", { class: `fill ${tone}`, key: tone,
    style: { width: `${(100 * part).toFixed(2)}%` } })));

/** The reserve of a job: what is burned of the most that it can cost. @param {any} burned @param {any} most */
export const reserveBar = (burned, most) =>
  bar(`burned ${gft(burned)} of at most ${gft(most)} GFT`, [{ part: ratio(burned, most), tone: "strong" }]);

/**
 * A table. Cells of columns whose name begins with # are numbers.
 * @param {string} caption @param {string[]} columns @param {any[]} rows `{key, cells, class?}`
 * @param {string} [tone]
 */
export const table = (caption, columns, rows, tone = "") => h("div", { class: `scroll ${tone}`, tabindex: "0", role: "region", "aria-label": caption },
  h("table", null,
    h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, columns.map((name, at) => h("th", {
      key: at, scope: "col", class: name.startsWith("#") ? "right" : "",
    }, name.replace(/^#/, ""))))),
    h("tbody", null, rows.map(({ key, cells, class: tone }) => h("tr", { key, class: tone ?? "" },
      cells.map((/** @type {any} */ cell, /** @type {number} */ at) =>
        h("td", { key: at, class: columns[at].startsWith("#") ? "right num" : "" }, cell)))))));

/** A heading and what it is of. @param {string} title @param {any} side @param {...any} children */
export const section = (title, side, ...children) => h("section", { key: title, "aria-label": title },
  h("div", { class: "head" }, h("h2", null, title), side ? h("div", { class: "side" }, side) : null), children);

/** The table that says what a picture says. @param {any} content */
export const twin = (content) => h("details", { class: "twin" }, h("summary", null, "as a table"), content);

/** What stands where nothing is yet. @param {...any} children */
export const empty = (...children) => h("p", { class: "empty" }, children);

/** What went wrong, in words. @param {string} text @param {string} [cure] a command */
export const trouble = (text, cure) => h("p", { class: "trouble", role: "alert" }, text, cure ? [" ", command(cure)] : null);

/** What stands where the node has not said anything yet. @param {import("./store.js").State} state */
export function waiting(state) {
  if (state.connection !== "lost") return empty("Asking the node …");
  return state.trouble ? trouble(state.trouble) : trouble("The node does not answer. Is it running?", "talkoot up");
}

/** A small line over time. @param {number[]} values @param {string} label */
export function sparkline(values, label) {
  const width = 240;
  const height = 36;
  const top = Math.max(...values, 0);
  const step = width / Math.max(1, values.length);
  const bars = values.map((value, at) => {
    const size = top > 0 ? Math.max(value > 0 ? 1.5 : 0, (value / top) * (height - 2)) : 0;
    return h("rect", { key: at, x: (at * step).toFixed(2), y: (height - size).toFixed(2),
      width: Math.max(1, step - 1).toFixed(2), height: size.toFixed(2) });
  });
  return h("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }), bars);
}
