// "Ledger": the list with its filters, the search, and the pages of one thing.

import { inGft } from "./amounts.js";
import { h } from "./dom.js";
import { entryPage } from "./ledger_entry.js";
import { jobPage } from "./ledger_job.js";
import { balancesPage, balancesResource, forksPage, walletPage } from "./ledger_wallet.js";
import { choose, entryList, loaded, shownText } from "./entry_list.js";
import { print } from "./json.js";
import { resource } from "./resource.js";
import { empty, idLink, say, section, table } from "./widgets.js";

export const title = "Ledger";

const KINDS = ["admit", "reserve", "frontier", "witness", "equivocation", "model", "release"];
const EFFECTS = ["ok", "inert", "noted", "admitted", "reserved", "paid", "released"];
const PREFIX = /^[0-9a-f]{2,64}$/;

/** Gives the browser a file. @param {string} name @param {any[]} lines */
export function save(name, lines) {
  const blob = new Blob([lines.map((line) => `${print(line)}\n`).join("")], { type: "application/jsonl" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`${lines.length} lines exported`);
}

/** @param {URLSearchParams} query @param {string} name @param {string} value */
function narrow(query, name, value) {
  const next = new URLSearchParams(query);
  if (value) next.set(name, value);
  else next.delete(name);
  const text = next.toString();
  location.hash = `#/ledger${text ? `?${text}` : ""}`;
}

/** @param {SubmitEvent} event */
function search(event) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (document.getElementById("search"));
  const text = field.value.trim().toLowerCase();
  if (text) location.hash = `#/ledger?q=${encodeURIComponent(text)}`;
}

/** @param {string} label @param {string[]} options @param {string} chosen @param {(value: string) => void} use */
const picker = (label, options, chosen, use) => h("select", {
  "aria-label": label, value: chosen,
  onchange: (/** @type {Event} */ event) => use(/** @type {HTMLSelectElement} */ (event.target).value),
}, h("option", { value: "" }, label), options.map((name) => h("option", { value: name, key: name }, name)));

/** What a page shows, as lines. @param {string} page @param {string} id */
function shownLines(page, id) {
  if (page === "balances") return balancesResource().value?.balances ?? [];
  if (page === "forks") return resource("/api/v1/ledger/forks").value?.forks ?? [];
  const paths = { entry: "entries", job: "jobs", wallet: "authors" };
  const { value } = resource(`/api/v1/ledger/${/** @type {any} */ (paths)[page]}/${encodeURIComponent(id ?? "none")}`);
  return value ? [value] : [];
}

/** @param {string} page @param {URLSearchParams} query @param {string} [id] */
const tools = (page, query, id = "") => h("div", { class: "bar-of-tools", key: "tools" },
  h("nav", { class: "tabs", "aria-label": "Ledger" }, [["", "entries"], ["balances", "balances"], ["forks", "forks"]].map(([id, name]) =>
    h("a", { key: id, href: `#/ledger${id ? `/${id}` : ""}`, "aria-current": id === page ? "page" : null }, name))),
  h("form", { role: "search", class: "grow", onsubmit: search },
    h("input", { id: "search", type: "search", style: { width: "100%" }, autocomplete: "off", spellcheck: "false", placeholder: "beginning of an entry, wallet or job  ( / )", "aria-label": "Search by the beginning of an entry, wallet or job" })),
  page === "" ? [
    picker("any kind", KINDS, query.get("kind") ?? "", (value) => narrow(query, "kind", value)),
    picker("any effect", EFFECTS, query.get("effect") ?? "", (value) => narrow(query, "effect", value)),
    h("button", { key: "export", type: "button", onclick: () => save("entries.jsonl", loaded()) }, "export JSONL"),
  ] : h("button", { key: "export", type: "button", onclick: () => save(`${page}.jsonl`, shownLines(page, id)) }, "export JSONL"));

/** What begins so. @param {string} text */
function found(text) {
  if (!PREFIX.test(text)) return section(`“${text}”`, null, empty("An id is 64 digits of 0–9 and a–f; give at least the first two."));
  const entry = resource(`/api/v1/ledger/entries/${text}`);
  const job = resource(`/api/v1/ledger/jobs/${text}`);
  const wallet = resource(`/api/v1/ledger/authors/${text}`);
  /** @type {any[]} */
  const hits = [];
  if (entry.value) hits.push({ key: "entry", cells: ["entry", idLink("entry", entry.value.id), inGft(entry.value.summary)] });
  if (job.value) hits.push({ key: "job", cells: ["job", idLink("job", job.value.id), `${job.value.state}, ${job.value.model_name ?? ""}`] });
  if (wallet.value) hits.push({ key: "wallet", cells: ["wallet", idLink("wallet", wallet.value.wallet), `${wallet.value.entries_total} entries`] });
  const isWaiting = [entry, job, wallet].some((one) => !one.value && !one.failure);
  const several = [["entries", entry], ["jobs", job], ["wallets", wallet]].filter(([, one]) => /** @type {any} */ (one).failure?.status === 400).map(([name]) => name);
  return section(`What begins with ${text}`, null,
    hits.length ? table("Found", ["what", "id", "which"], hits) : isWaiting ? empty("Looking …") : several.length ? null : empty("Nothing held here begins so."),
    several.length ? empty(`Several ${several.join(", ")} begin so; give more digits.`) : null);
}

/** @param {string[]} path @param {URLSearchParams} query */
export function enter(path, query) {
  if (path.length === 0 && !query.has("q")) {
    choose({ kind: query.get("kind") ?? "", effect: query.get("effect") ?? "", author: query.get("author") ?? "", job: query.get("job") ?? "" });
  } else window.scrollTo(0, 0);
}

/** @param {string[]} path @param {URLSearchParams} query */
function content([page, id], query) {
  if (page === "entry") return entryPage(id);
  if (page === "job") return jobPage(id);
  if (page === "wallet") return walletPage(id);
  if (page === "balances") return balancesPage();
  if (page === "forks") return forksPage();
  const asked = query.get("q");
  if (asked) return found(asked);
  return [entryList(), h("p", { class: "muted", key: "shown" }, shownText())];
}

/** @param {string[]} path @param {URLSearchParams} query */
export const render = (path, query) => [tools(path[0] ?? "", query, path[1]), content(path, query)];
