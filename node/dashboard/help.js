// What the keys do and what the words mean. The same stands in docs/DASHBOARD.md.

import { h } from "./dom.js";

const KEYS = [
  ["1 – 5", "the views"],
  ["/", "search the ledger"],
  ["?", "this page"],
  ["Esc", "close it"],
];

const WORDS = [
  ["ready", "some chat model has all its layers served"],
  ["available", "what a next job could hold: line and confirmed earnings, less holds"],
  ["held", "set aside for jobs that run; what is not burned comes back"],
  ["burned", "paid by whoever asked, for tokens that it acknowledged"],
  ["acknowledged", "tokens that the asker has signed for; only these are paid"],
  ["confirmed", "founders with more than two thirds of the lines have it in their past"],
  ["pending", "earned and not yet confirmed; it cannot be spent"],
  ["inert", "held by all, without effect, with a reason"],
  ["fork", "two entries of one author at one number; both are shown"],
  ["wait, compute, wire", "time in a stage before and after its arithmetic, in it, and between stages"],
  ["p50, p95", "half, and 95 of 100, took no longer"],
];

/** @param {() => void} close */
export const help = (close) => [
  h("div", { class: "head" }, h("h2", { id: "help-title" }, "Keys and words"),
    h("button", { type: "button", onclick: close, autofocus: true }, "close")),
  h("dl", { class: "keys" }, KEYS.map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)])),
  h("dl", { class: "words" }, WORDS.map(([word, what]) => [h("dt", null, word), h("dd", null, what)])),
  h("p", { class: "muted" }, "Amounts are GFT, with all their six decimals. Times are UTC."),
];
