// "Chat": ask a model, see the price before, the tokens while, the bill after.
// The conversation stays in this tab.

import { post, Refusal } from "./api.js";
import { big, gft } from "./amounts.js";
import { answer } from "./chat_stream.js";
import { h } from "./dom.js";
import { parse, print } from "./json.js";
import { changed, state } from "./store.js";
import { layers, plural, routes, short } from "./text.js";
import { command, empty, idLink, trouble, waiting } from "./widgets.js";

export const title = "Chat";

const KEPT = "conversation";
const QUOTE_AFTER_MS = 350;
const TOKENS_DEFAULT = 512;

/**
 * @typedef {object} Turn
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {import("./chat_stream.js").Receipt} [receipt]
 * @property {number} [rate] tokens per second, as seen here
 * @property {{message: string, cure?: string, isStop?: boolean}} [failure]
 */

/** @type {Turn[]} */
let turns = restore();
let draft = "";
let model = "";
let maxTokens = 256;
let temperature = 0;
/** @type {AbortController | null} */
let running = null;
/** @type {any} */
let quote = null;
let quoteFailure = "";
let quotedFor = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let quoteTimer;

let isLeaving = false;
for (const sign of ["beforeunload", "pagehide"]) {
  window.addEventListener(sign, () => {
    isLeaving = true;
  });
}

/** @returns {Turn[]} */
function restore() {
  try {
    /** @type {Turn[]} */
    const kept = parse(sessionStorage.getItem(KEPT) ?? "[]");
    const last = kept.at(-1);
    if (last?.role === "assistant" && !last.failure && !last.receipt?.finish) {
      last.failure = { message: "The page was left before the answer ended. What was acknowledged until then stays paid.", isStop: true };
    }
    return kept;
  } catch {
    return [];
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEPT, print(turns));
  } catch { /* A full or forbidden store only forgets. */ }
}

/** @returns {any[]} */
const models = () => state.status?.models ?? [];
const chosen = () => models().find((one) => one.name === model) ?? models().find((one) => routes(one.coverage) > 0) ?? models()[0];

/** @param {string} next what is about to be said @returns {{role: string, content: string}[]} */
const messages = (next) => {
  // A question without any answer is not part of the conversation.
  const isVoid = (/** @type {number} */ at) => Boolean(turns[at]?.failure && !turns[at].content);
  const said = turns.filter((_, at) => !isVoid(at) && !isVoid(at + 1));
  return [...said.map(({ role, content }) => ({ role, content })), { role: "user", content: next }];
};

/** Asks what the draft would cost, a moment after the last key. */
function wantQuote() {
  clearTimeout(quoteTimer);
  quoteTimer = setTimeout(askQuote, QUOTE_AFTER_MS);
}

async function askQuote() {
  const text = draft.trim();
  const picked = chosen();
  const mark = `${picked?.id}:${text}:${maxTokens}:${turns.length}`;
  if (!text || !picked || running || mark === quotedFor) return;
  quotedFor = mark;
  try {
    const counted = await post("/tokenize", { model: picked.name, messages: messages(text) });
    const room = Math.max(1, counted.max_model_len - counted.count);
    const answered = await post("/api/v1/ledger/quote", {
      model: picked.id, prompt_tokens: counted.count, completion_tokens_max: Math.min(maxTokens || TOKENS_DEFAULT, room),
    });
    if (mark !== quotedFor) return;
    quote = answered;
    quoteFailure = counted.count >= counted.max_model_len ? `the conversation has ${counted.count} tokens and the model takes ${counted.max_model_len}: begin anew` : "";
  } catch (error) {
    if (mark !== quotedFor) return;
    quote = null;
    quoteFailure = error instanceof Error ? error.message : String(error);
  }
  changed();
}

/** What to do about a failure. @param {unknown} error @returns {Turn["failure"]} */
function explain(error) {
  if (error instanceof DOMException && error.name === "AbortError") {
    return { message: "Stopped. What was acknowledged until then stays paid.", isStop: true };
  }
  const refusal = error instanceof Refusal ? error : new Refusal(0, "unreachable", "the connection to the node ended in the middle of the answer");
  /** @type {Record<string, string>} */
  const cures = { insufficient_credits: "talkoot credits", no_route: "talkoot peers", not_signing: "talkoot status", unreachable: "talkoot up" };
  return { message: refusal.message, cure: cures[refusal.code] };
}

async function ask() {
  const text = draft.trim();
  const picked = chosen();
  if (!text || running || !picked) return;
  const asked = messages(text);
  /** @type {Turn} */
  const turn = { role: "assistant", content: "" };
  turns.push({ role: "user", content: text }, turn);
  draft = "";
  quote = null;
  running = new AbortController();
  let first = 0;
  keep();
  changed();
  try {
    turn.receipt = await answer({ model: picked.name, messages: asked, maxTokens: maxTokens || null, temperature }, running.signal, (delta, receipt) => {
      turn.content += delta;
      turn.receipt = receipt;
      if (receipt.completionTokens > 0) {
        first ||= performance.now();
        turn.rate = (receipt.completionTokens - 1) / Math.max(0.001, (performance.now() - first) / 1000);
      }
      changed();
    });
  } catch (error) {
    // Leaving the page ends the stream too; what is kept then is told at the return.
    if (isLeaving) return;
    turn.failure = explain(error);
  }
  running = null;
  keep();
  changed();
  document.getElementById("say")?.focus();
}

function clear() {
  running?.abort();
  turns = [];
  quote = null;
  keep();
  changed();
}

/** @param {any[]} route */
const chips = (route) => h("span", { class: "chips" }, route.map((stage, at) => [
  at ? h("span", { key: `to${at}`, class: "muted" }, "→") : null,
  h("span", { key: at, class: "chip" }, idLink("wallet", stage.peer), h("span", { class: "num" }, layers(stage.layers)), stage.own ? "own" : null),
]));

/** @param {Turn} turn @param {boolean} isRunning */
function receiptLine(turn, isRunning) {
  const { receipt } = turn;
  if (!receipt) return null;
  const price = chosen()?.price_ugft_per_token ?? 0;
  const tokens = receipt.promptTokens + receipt.completionTokens;
  const cost = receipt.spent ?? big(price) * BigInt(tokens);
  return h("div", { class: "receipt", "data-receipt": isRunning ? "running" : "done" },
    h("span", null, h("b", { class: "num" }, `${receipt.promptTokens} + ${receipt.completionTokens}`), " tokens"),
    h("span", null, receipt.spent === null ? "about " : "burned ", h("b", { class: "num", "data-spent": String(cost) }, gft(cost)), " GFT"),
    turn.rate && Number.isFinite(turn.rate) && receipt.completionTokens > 1 ? h("span", { class: "num" }, `${turn.rate.toFixed(0)} tokens/s`) : null,
    receipt.finish === "length" ? h("span", null, "ended at the limit") : null,
    receipt.job ? h("span", null, h("a", { href: `#/ledger/job/${receipt.job}`, "data-job": receipt.job }, "receipt"), " · ", h("a", { href: `#/pipeline/${receipt.job}` }, "pipeline")) : null,
    receipt.route.length ? chips(receipt.route) : null);
}

/** @param {Turn} turn @param {number} at */
function turnView(turn, at) {
  const isRunning = running !== null && at === turns.length - 1;
  return h("li", { key: at, class: `turn ${turn.role}` },
    h("p", { class: "who" }, turn.role === "user" ? "you" : "answer"),
    turn.content || isRunning ? h("p", { class: "said" }, turn.content || "…") : null,
    turn.role === "assistant" ? receiptLine(turn, isRunning) : null,
    turn.failure ? turn.failure.isStop ? h("p", { class: "receipt" }, turn.failure.message) : trouble(turn.failure.message, turn.failure.cure) : null);
}

function quoteLine() {
  if (quoteFailure && !running) return h("span", { class: "bad" }, quoteFailure);
  if (!quote) return null;
  if (quote.free) return `free: ${quote.free}`;
  const isShort = big(quote.held_ugft) > big(quote.available_ugft);
  return [
    h("span", { key: "price", class: isShort ? "bad" : "", "data-cap": String(quote.cap_ugft) },
      `at most ${gft(quote.cap_ugft)} GFT for ${quote.prompt_tokens} + ${quote.completion_tokens_max} tokens (${gft(quote.price_ugft_per_token)} each); `,
      isShort ? `only ${gft(quote.available_ugft)} available` : `${gft(quote.held_ugft)} held of ${gft(quote.available_ugft)} available`, " "),
    chips(quote.stages),
  ];
}

/** @param {KeyboardEvent} event */
function key(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
}

/** @param {Event} event */
const valueOf = (event) => /** @type {HTMLInputElement} */ (event.target).value;

function composer() {
  const picked = chosen();
  return h("form", { class: "composer", key: "composer", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); ask(); } },
    h("label", { class: "unseen", for: "say" }, "Your message"),
    h("textarea", { id: "say", rows: "2", value: draft, placeholder: "Ask something. Enter sends, Shift+Enter begins a line.", onkeydown: key,
      oninput: (/** @type {Event} */ event) => { draft = valueOf(event); wantQuote(); changed(); } }),
    h("div", { class: "quote", role: "status", "aria-live": "polite" }, quoteLine()),
    h("div", { class: "row" },
      h("label", null, "model", h("select", { id: "model", value: picked?.name ?? "", onchange: (/** @type {Event} */ event) => { model = valueOf(event); wantQuote(); changed(); } },
        models().map((one) => h("option", { key: one.id, value: one.name }, `${one.name}${routes(one.coverage) ? "" : " (no route)"}`)))),
      h("label", null, "at most", h("input", { id: "limit", type: "number", min: "1", step: "1", value: maxTokens, onchange: (/** @type {Event} */ event) => { maxTokens = Number(valueOf(event)) || TOKENS_DEFAULT; wantQuote(); } }), "tokens"),
      h("label", null, "temperature", h("input", { id: "temperature", type: "number", min: "0", max: "2", step: "0.1", value: temperature, onchange: (/** @type {Event} */ event) => { temperature = Math.min(2, Math.max(0, Number(valueOf(event)) || 0)); } })),
      h("span", { class: "end" },
        turns.length ? h("button", { key: "new", type: "button", onclick: clear }, "begin anew") : null,
        running ? h("button", { key: "stop", type: "button", class: "primary", onclick: () => running?.abort() }, "stop")
          : h("button", { key: "ask", type: "submit", class: "primary", disabled: !draft.trim() || !picked }, "ask"))));
}

export const focus = "say";

export function render() {
  if (!state.status) return waiting(state);
  const picked = chosen();
  const isNearEnd = window.innerHeight + window.scrollY > document.documentElement.scrollHeight - 120;
  if (running && isNearEnd) requestAnimationFrame(() => window.scrollTo(0, document.documentElement.scrollHeight));
  return [
    h("h1", { key: "title", class: "unseen" }, "Chat"),
    turns.length ? h("ol", { class: "talk", key: "talk", role: "log", "aria-label": "Conversation", "aria-busy": running ? "true" : "false" }, turns.map(turnView))
      : h("div", { class: "lead", key: "lead" },
        h("h1", { "aria-hidden": "true" }, picked ? `Ask ${picked.name}.` : "No model is known here."),
        picked ? h("p", { class: "muted" }, `${plural(routes(picked.coverage), "complete route")}, ${picked.context} tokens of context, ${state.status.accounting ? `${gft(picked.price_ugft_per_token)} GFT a token` : "free"}. What an answer costs at most is shown before you ask.`)
          : h("p", null, "Serve one: ", command("talkoot up")),
        picked && !routes(picked.coverage) ? trouble(`No complete route to ${short(picked.id)} now.`, "talkoot status") : null),
    composer(),
  ];
}
