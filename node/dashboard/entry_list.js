// The list of entries: pages of the chain, newest first, with what arrives put
// in place; only the rows in the window are drawn.

import { get, Refusal } from "./api.js";
import { inGft } from "./amounts.js";
import { h } from "./dom.js";
import { changed, state } from "./store.js";
import { clock, short } from "./text.js";
import { empty, idLink, trouble } from "./widgets.js";

const PAGE = 200;
const ROW_PX = 28;
/** Rows drawn above and below the window. */
const MARGIN = 6;
/** Rows kept; older ones are asked for again. */
const ROWS_MAX = 50_000;
/** Rows that are drawn, and used in turn: what a window of 44rem holds, and the margins. */
const SLOTS = 40;
const REFRESH_MS = 3000;

/** @typedef {{kind: string, effect: string, author: string, job: string}} Filter */

/** @type {Filter} */
let filter = { kind: "", effect: "", author: "", job: "" };
/** @type {any[]} by index, newest first */
let rows = [];
/** @type {Set<string>} */
let known = new Set();
/** Where to ask on, 0 at the beginning of the chain, null before the first page. @type {number | null} */
let before = null;
let isAsked = false;
/** @type {string} */
let failure = "";
let seenVersion = -1;
let lastSeen = "";
/** Rows put before the first since the list was chosen: they must not move the slots. */
let prepended = 0;
let refreshedTip = "";
let refreshedMs = 0;
let generation = 0;
/** @type {HTMLElement | null} */
let box = null;

/** The rows that are loaded, for the export. */
export const loaded = () => rows;

/** @param {Filter} next */
export function choose(next) {
  if (JSON.stringify(next) === JSON.stringify(filter) && before !== null) return;
  filter = next;
  rows = [];
  known = new Set();
  before = null;
  prepended = 0;
  failure = "";
  generation += 1;
  isAsked = false;
  seenVersion = -1;
  lastSeen = state.entries.at(-1)?.id ?? "";
  if (box) box.scrollTop = 0;
}

/** @param {string} more */
function path(more) {
  const query = new URLSearchParams(`count=${PAGE}${more}`);
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
  return `/api/v1/ledger/entries?${query}`;
}

/** Puts an entry where its index wants it. @param {any} entry @returns {boolean} whether it is new */
function put(entry) {
  if (known.has(entry.id)) {
    const at = rows.findIndex((row) => row.id === entry.id);
    if (at >= 0) rows[at] = entry;
    return false;
  }
  known.add(entry.id);
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].index > entry.index) low = middle + 1;
    else high = middle;
  }
  rows.splice(low, 0, entry);
  return true;
}

/** @param {any} entry */
function matches(entry) {
  if (filter.kind && entry.kind !== filter.kind) return false;
  if (filter.author && !entry.author.startsWith(filter.author)) return false;
  if (filter.job && !(entry.job ?? "").startsWith(filter.job)) return false;
  if (filter.effect === "ok") return entry.outcome.name !== "inert";
  return !filter.effect || entry.outcome.name === filter.effect;
}

async function older() {
  if (isAsked || before === 0) return;
  isAsked = true;
  const own = generation;
  try {
    const page = await get(path(before === null ? "" : `&before=${before}`));
    if (own !== generation) return;
    for (const entry of page.entries.reverse()) put(entry);
    before = Number(page.from);
    failure = "";
  } catch (error) {
    if (own !== generation) return;
    failure = error instanceof Refusal ? error.message : String(error);
  }
  isAsked = false;
  changed();
}

/** Reads the newest page again, for what founders confirmed meanwhile. */
async function refresh() {
  const tip = state.chain?.tip ?? "";
  if (tip === refreshedTip || Date.now() - refreshedMs < REFRESH_MS || before === null) return;
  refreshedTip = tip;
  refreshedMs = Date.now();
  const own = generation;
  try {
    const page = await get(path(""));
    if (own !== generation) return;
    for (const entry of page.entries) put(entry);
    changed();
  } catch { /* The next change asks again. */ }
}

/** Takes in what arrived since the last drawing. */
function takeArrivals() {
  if (seenVersion === state.entriesVersion || before === null) return;
  seenVersion = state.entriesVersion;
  let added = 0;
  for (let at = state.entries.length - 1; at >= 0; at -= 1) {
    const entry = state.entries[at];
    if (entry.id === lastSeen) break;
    if (matches(entry) && !known.has(entry.id) && put(entry)) added += 1;
  }
  lastSeen = state.entries.at(-1)?.id ?? lastSeen;
  prepended += added;
  if (rows.length > ROWS_MAX) {
    for (const row of rows.splice(ROWS_MAX)) known.delete(row.id);
    before = Number(rows.at(-1).index);
  }
  // Whoever reads further down keeps the place.
  if (added && box && box.scrollTop > ROW_PX) box.scrollTop += added * ROW_PX;
}

/** @param {any} entry */
export function stateOf(entry) {
  if (entry.outcome.name === "inert") return h("span", { class: "bad", title: entry.outcome.why }, "inert");
  return entry.confirmed ? h("span", { class: "good" }, "confirmed") : h("span", { class: "muted" }, "unconfirmed");
}

/** @param {any} entry @param {number} at */
const row = (entry, at) => h("div", {
  key: (((at - prepended) % SLOTS) + SLOTS) % SLOTS, class: `row ${entry.outcome.name === "inert" ? "inert" : ""}`, role: "row", "aria-rowindex": at + 1,
  style: { top: `${at * ROW_PX}px` },
},
  h("span", { role: "cell", class: "num muted" }, entry.index),
  h("span", { role: "cell", class: "num muted" }, clock(entry.time_ms)),
  h("span", { role: "cell" }, entry.kind),
  h("span", { role: "cell" }, idLink("wallet", entry.author)),
  h("a", { role: "cell", class: "sentence", href: `#/ledger/entry/${entry.id}` }, inGft(entry.summary)),
  h("span", { role: "cell", class: "muted", title: inGft(entry.effect) }, inGft(entry.effect)),
  h("span", { role: "cell" }, stateOf(entry)));

const COLUMNS = ["index", "time", "kind", "author", "what it does", "what it came to", "state"];

/** The list. */
export function entryList() {
  takeArrivals();
  if (before === null || (rows.length < PAGE / 2 && before > 0)) older();
  else refresh();
  if (failure) return trouble(failure);
  const top = box?.scrollTop ?? 0;
  const from = Math.max(0, Math.min(Math.floor(top / ROW_PX) - MARGIN, rows.length - SLOTS));
  const to = Math.min(rows.length, from + SLOTS);
  if (before !== null && before > 0 && to > rows.length - PAGE / 4) older();
  return h("div", { key: "list" },
    h("div", { class: "entries-head", "aria-hidden": "true" }, COLUMNS.map((name) => h("span", null, name))),
    h("div", { class: "entries", role: "table", tabindex: "0", "aria-label": "Entries, newest first", "aria-rowcount": rows.length, onscroll: changed },
      h("div", { class: "space", key: "space", role: "rowgroup", style: { height: `${rows.length * ROW_PX}px` } },
        h("span", { key: "anchor", mount: remember }),
        rows.slice(from, to).map((entry, at) => row(entry, from + at)))),
    rows.length === 0 && !isAsked && before === 0 ? empty("No entry is like that.") : null);
}

/** @param {Element} anchor */
function remember(anchor) {
  // It is in the page only after this.
  queueMicrotask(() => {
    box = anchor.closest(".entries");
    changed();
  });
  return () => {
    box = null;
  };
}

/** What is shown, as a line. */
export const shownText = () => `${rows.length} loaded${before ? `, ${before} more below` : ""}${filter.author ? ` of ${short(filter.author)}` : ""}${filter.job ? ` about ${short(filter.job)}` : ""}`;
