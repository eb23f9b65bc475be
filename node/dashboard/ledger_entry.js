// One entry: the sentence, its fields, its bytes, and all of it computed again.

import { gft, inGft } from "./amounts.js";
import { h } from "./dom.js";
import { check, fromHex, parts, toHex } from "./entry_bytes.js";
import { print } from "./json.js";
import { resource } from "./resource.js";
import { changed, state } from "./store.js";
import { plural, utc } from "./text.js";
import { empty, fullLink, idLink, section, table, trouble } from "./widgets.js";

/** Bytes of a part shown at once. */
const SHOWN_BYTES = 192;

/** @type {{bytes: string, checks: import("./entry_bytes.js").Checks | null}} */
let done = { bytes: "", checks: null };

/** @param {any} entry */
function checksOf(entry) {
  const mark = print(entry) + (state.status?.network_id ?? "");
  if (done.bytes === mark) return done.checks;
  const own = { bytes: mark, checks: /** @type {any} */ (null) };
  done = own;
  check(entry, state.status?.network_id ?? null).then((checks) => {
    own.checks = checks;
    changed();
  });
  return null;
}

const WHAT = {
  id: "id: the hash of the bytes without the signature",
  fields: "fields: author, number, kind and time are those of the bytes",
  effect: "effect: its digest covers what the entry came to",
  link: "link: the hash of the link before, the id and the effect",
  signature: "signature: the author's, over the bytes, in this network",
};

/** @param {any} entry */
function checked(entry) {
  const checks = checksOf(entry);
  return section("Computed again in this browser", checks ? (Object.keys(WHAT).some((name) => /** @type {any} */ (checks)[name] === "differs") ? h("span", { class: "bad" }, "something differs") : null) : "computing …",
    h("ul", { class: "checks", role: "status", "aria-live": "polite" }, Object.entries(WHAT).map(([name, words]) => {
      const verdict = /** @type {any} */ (checks)?.[name] ?? "…";
      return h("li", { key: name, "data-check": name },
        h("span", { class: `verdict ${verdict}` }, verdict),
        h("span", null, words,
          name === "id" && verdict === "differs" ? h("span", { class: "bad hex" }, ` — computed ${checks?.computedId || "nothing"}`) : null,
          name === "signature" && verdict === "unknown" ? h("span", { class: "muted" }, " — this browser has no Ed25519; talkoot ledger show checks it") : null));
    })));
}

/** @param {any} entry */
export const facts = (entry) => h("dl", { class: "facts" }, [
  ["id", h("span", { class: "hex" }, entry.id)],
  ["kind", entry.kind],
  ["author", fullLink("wallet", entry.author)],
  ["number", [`${entry.seq}, after `, idLink("entry", entry.prev)]],
  ["cites", entry.refs.length ? entry.refs.map((/** @type {string} */ id) => [idLink("entry", id), " "]) : "nothing of others"],
  entry.names.length ? ["introduces", entry.names.map((/** @type {string} */ id) => [idLink("wallet", id), " "])] : null,
  ["time", [utc(entry.time_ms), h("span", { class: "muted" }, " (the author's clock: a claim)")]],
  entry.job ? ["job", fullLink("job", entry.job)] : null,
  ["came to", h("span", { class: entry.outcome.name === "inert" ? "bad" : "" }, inGft(entry.effect))],
  entry.available_ugft === undefined || entry.available_ugft === null ? null : ["was available", `${gft(entry.available_ugft)} GFT`],
  ["state", [entry.outcome.name === "inert" ? "inert: " + (entry.outcome.why ?? "") : entry.confirmed ? "confirmed" : "not confirmed yet",
    `; in the past of ${plural(entry.confirmed_by.length, "founder")} `, entry.confirmed_by.map((/** @type {string} */ id) => [idLink("wallet", id), " "])]],
  ["place", `index ${entry.index}, depth ${entry.lamport}`],
  ["link", h("span", { class: "hex" }, entry.link)],
].map((fact) => fact && [h("dt", { key: `${fact[0]}` }, fact[0]), h("dd", { key: `${fact[0]}` }, fact[1])]));

/** JSON on lines, pairs of numbers on one. @param {any} fields */
const fieldsText = (fields) => print(fields, 2).replace(/\[\s+(-?\d+),\s+(-?\d+)\s+\]/g, "[$1, $2]");

/** @param {any} entry */
function bytesTable(entry) {
  let bytes;
  let cut;
  try {
    bytes = fromHex(entry.bytes ?? "");
    cut = parts(bytes);
  } catch (error) {
    return trouble(`These are no bytes of an entry: ${error instanceof Error ? error.message : error}.`);
  }
  return table("Signed bytes by part", ["#offset", "part", "bytes"], cut.map(({ name, offset, bytes: part }) => ({
    key: offset,
    cells: [offset, h("span", { class: "num" }, name), part.length <= SHOWN_BYTES ? h("span", { class: "hex" }, toHex(part)) : h("details", null,
      h("summary", { class: "hex" }, `${toHex(part.subarray(0, 32))}… ${part.length} bytes`), h("span", { class: "hex" }, toHex(part)))],
  })));
}

/** @param {string} id */
export function entryPage(id) {
  const { value: entry, failure } = resource(`/api/v1/ledger/entries/${encodeURIComponent(id ?? "none")}`);
  if (!entry) return failure ? trouble(failure.message) : empty("Asking the node …");
  return [
    h("header", { class: "lead", key: "lead" }, h("p", { class: "crumb" }, `${entry.kind}, number ${entry.seq} of `, idLink("wallet", entry.author)), h("h1", null, `${inGft(entry.summary)}.`)),
    section("Entry", h("a", { href: `#/ledger?author=${entry.author}` }, "all of this author"), facts(entry)),
    checked(entry),
    section("Says", null, h("pre", { tabindex: "0", "aria-label": "Fields of the payload" }, fieldsText(entry.fields))),
    section("Signed bytes", `${(entry.bytes ?? "").length / 2} bytes; integers are little-endian, a length counts what follows`, bytesTable(entry)),
  ];
}
