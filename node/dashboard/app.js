// Starts the page: routes, tabs, keys, themes, and one drawing for each change.

import { h, patch } from "./dom.js";
import { begin } from "./live.js";
import { changed, listen, state } from "./store.js";
import { help } from "./help.js";
import { say } from "./widgets.js";
import * as now from "./view_now.js";
import * as network from "./view_network.js";
import * as pipeline from "./view_pipeline.js";
import * as ledger from "./view_ledger.js";
import * as chat from "./view_chat.js";

/**
 * @typedef {object} View
 * @property {string} title
 * @property {(path: string[], query: URLSearchParams) => any} render
 * @property {(path: string[], query: URLSearchParams) => void} [enter] at each new address
 * @property {() => void} [leave]
 * @property {string} [focus] the id of what takes the focus when it is entered
 */

/** @type {[string, View][]} */
const views = [["now", now], ["network", network], ["pipeline", pipeline], ["ledger", ledger], ["chat", chat]];
const THEMES = ["system", "light", "dark"];

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {View} */
let current = now;
/** @type {string[]} */
let path = [];
let query = new URLSearchParams();
/** The id of what takes the focus as soon as it is there. */
let focusNext = "";

/** A part of an address as text; as it is where it is no proper code. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function readAddress() {
  const [address, asked] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = address.split("/").map(decoded);
  /** @type {View} */
  const next = views.find(([id]) => id === name)?.[1] ?? now;
  const isOther = next !== current;
  if (isOther) current.leave?.();
  if (isOther && focusNext !== "search") focusNext = next.focus ?? "";
  current = next;
  path = rest;
  query = new URLSearchParams(asked ?? "");
  current.enter?.(path, query);
  document.title = `${current.title} · Talkoot`;
  if (isOther) {
    say(current.title);
    window.scrollTo(0, 0);
  }
  draw();
}

const CONNECTION = {
  starting: ["", "connecting"],
  live: ["good", "live"],
  polling: ["good", "polling"],
  lost: ["bad", "connection lost, retrying"],
};

function drawTop() {
  patch(element("network"), state.status ? [state.status.network] : []);
  patch(element("tabs"), views.map(([id, view], at) => h("a", {
    key: id, href: `#/${id}`, "aria-current": view === current ? "page" : null, "aria-keyshortcuts": `${at + 1}`,
  }, view.title, h("kbd", { "aria-hidden": "true" }, `${at + 1}`))));
  const [tone, words] = CONNECTION[state.connection];
  patch(element("connection"), [h("span", { class: `dot ${tone}` }), h("span", { class: "word" }, words)]);
  element("connection").className = state.connection;
}

function draw() {
  drawTop();
  const view = element("view");
  view.className = views.find(([, one]) => one === current)?.[0] ?? "";
  patch(view, [h("div", { key: view.className, class: "page" }, current.render(path, query))]);
  const wanted = focusNext && document.getElementById(focusNext);
  if (wanted) {
    focusNext = "";
    wanted.focus({ preventScroll: true });
  }
}

function theme() {
  try {
    return localStorage.getItem("theme") ?? "system";
  } catch {
    return "system";
  }
}

function drawTheme() {
  const chosen = theme();
  document.documentElement.dataset.theme = chosen;
  const button = element("theme");
  button.textContent = chosen === "system" ? "auto" : chosen;
  button.setAttribute("aria-label", `Colours: ${chosen}. Press for the next.`);
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  try {
    localStorage.setItem("theme", next);
  } catch { /* A browser that keeps nothing shows the system's colours. */ }
  drawTheme();
  changed();
}

function openHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (element("help"));
  patch(dialog, help(() => dialog.close()));
  if (!dialog.open) dialog.showModal();
}

/**
 * Shows a view at once, not with the browser's word of the new address: the keys that follow
 * are text for the field that it gives the focus, and its digits are no views' keys.
 * @param {string} name
 */
function go(name) {
  location.hash = `#/${name}`;
  readAddress();
}

/** @param {KeyboardEvent} event */
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.matches("input, textarea, select") || element("help").hasAttribute("open")) return;
  const view = views[Number(event.key) - 1];
  if (view) go(view[0]);
  else if (event.key === "?") openHelp();
  else if (event.key === "/") {
    event.preventDefault();
    focusNext = "search";
    if (current === ledger) draw();
    else go("ledger");
  }
}

drawTheme();
element("theme").addEventListener("click", nextTheme);
element("help-open").addEventListener("click", openHelp);
document.addEventListener("keydown", key);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  // The address is the view's; this only moves the focus.
  event.preventDefault();
  element("view").focus();
});
window.addEventListener("hashchange", readAddress);
listen(draw);
setInterval(changed, 1000);
readAddress();
begin();
