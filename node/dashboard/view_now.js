// "Now": one sentence about the node, its money, its jobs, and what to do.

import { get } from "./api.js";
import { big, gft, inGft, ratio, sum } from "./amounts.js";
import { h } from "./dom.js";
import { changed, now, state } from "./store.js";
import { age, clock, gaps, layers, plural, routes, speed } from "./text.js";
import { amount, bar, command, empty, figure, idLink, reserveBar, section, sparkline, table, twin, waiting } from "./widgets.js";

export const title = "Now";

const BUCKET_MS = 300_000;
const BUCKETS = 288;
const HOUR_BUCKETS = 12;
/** Buckets that one bar of the picture has. */
const BAR_BUCKETS = 6;
const EARNINGS_EVERY_MS = 5000;
const STRIP = 12;
const RUNNING = new Set(["routing", "prompt", "answering", "settling"]);

/** @type {any} */
let earnings = null;
let askedMs = 0;
let askedTip = "";

async function askEarnings() {
  const tip = state.chain?.tip ?? "";
  if (Date.now() - askedMs < EARNINGS_EVERY_MS || (tip === askedTip && Date.now() - askedMs < 60_000)) return;
  askedMs = Date.now();
  askedTip = tip;
  try {
    earnings = await get(`/api/v1/ledger/earnings?bucket_ms=${BUCKET_MS}&count=${BUCKETS}`);
    changed();
  } catch { /* A node that does not tell has no such figures. */ }
}

/** @param {any} status */
export function sentence(status) {
  const serving = status.serving.map((/** @type {any} */ one) => `layers ${layers(one.layers)} of ${one.name}`);
  const first = status.paused ? "Paused" : serving.length ? `Serving ${serving.join(", ")}` : "Serving nothing, asking only";
  /** @type {[string, number][]} */
  const complete = status.models.map((/** @type {any} */ model) => [model.name, routes(model.coverage)]);
  const best = complete.filter(([, count]) => count > 0);
  const route = best.length === 1 && complete.length === 1
    ? plural(best[0][1], "complete route")
    : best.length ? best.map(([name, count]) => `${name}: ${plural(count, "route")}`).join(", ") : "no complete route";
  return [first, route, status.peers ? plural(status.peers, "peer") : "no peers"].join("; ");
}

/**
 * What the owner should know, with what mends it.
 * @param {any} status @param {any[]} peers
 * @returns {{text: string, cure?: string, tone?: string}[]}
 */
export function warnings(status, peers) {
  /** @type {{text: string, cure?: string, tone?: string}[]} */
  const found = [];
  if (status.paused) {
    const until = status.paused.until_ms ? `, for another ${age(status.paused.until_ms - now())}` : "";
    found.push({ text: `Paused: ${status.paused.reason}${until}.`, cure: status.paused.kind && status.paused.kind !== "by_hand" ? undefined : "talkoot resume" });
  }
  if (status.loading) {
    found.push({ text: `Loading ${status.loading.model}: ${status.loading.step}, ${status.loading.percent} %.`, tone: "note" });
  }
  if (status.twin_ms) {
    found.push({ text: `Another node announced itself with this node's identity ${age(now() - status.twin_ms)} ago: stop one of the two.`, cure: "talkoot doctor" });
  }
  for (const reason of status.reasons) found.push({ text: reason });
  for (const model of status.models) {
    for (const gap of gaps(model.coverage)) {
      found.push({ text: `Nobody serves layers ${layers(gap)} of ${model.name}.`, cure: `talkoot up --model ${model.name} --layers ${layers(gap)}` });
    }
  }
  if (status.signing !== "active") found.push({ text: `Not signing: ${status.signing}.`, cure: "talkoot doctor" });
  if (status.sync?.catching_up) {
    found.push({ text: `Catching up: ${status.sync.to_fetch} entries to come, ${status.sync.entries_per_second} a second.`, tone: "note" });
  }
  if (status.books?.forked_wallets) {
    found.push({ text: `${plural(status.books.forked_wallets, "log is", "logs are")} forked.`, cure: "talkoot ledger forks" });
  }
  const marked = peers.filter((peer) => peer.marks > 0);
  if (marked.length) {
    found.push({ text: `${plural(marked.length, "peer has", "peers have")} marks; the newest: ${marked[0].last_mark}.`, cure: "talkoot peers" });
  }
  for (const other of status.neighbours ?? []) {
    found.push({ text: `Another network is near: ${other.network}. A ticket from there is best; without one:`, cure: `talkoot join --lan ${other.network}`, tone: "note" });
  }
  return found;
}

const alone = () => section("Nobody else is here yet", null,
  h("ol", { class: "steps" },
    h("li", null, h("p", null, "On this machine, make a ticket:"), command("talkoot invite")),
    h("li", null, h("p", null, "On the next one, use it:"), command("talkoot join TICKET"))));

/** @param {any} status */
function money(status) {
  if (!status.accounting) return section("Money", null, empty("Jobs are free in this network: nothing is held, burned or earned."));
  const { balance } = status;
  const buckets = earnings?.buckets ?? [];
  const earned = buckets.map((/** @type {any} */ one) => one.earned_ugft);
  const bars = [];
  for (let at = 0; at < earned.length; at += BAR_BUCKETS) bars.push(Number(sum(earned.slice(at, at + BAR_BUCKETS))));
  const day = sum(earned);
  return section("Money, GFT", h("a", { href: `#/ledger/wallet/${status.wallet}` }, "account"),
    h("dl", { class: "figures" },
      figure("balance", amount(balance.balance_ugft)),
      figure("available", amount(balance.available_ugft)),
      figure("held", amount(balance.held_ugft)),
      figure("credit line", amount(balance.line_ugft)),
      earnings ? figure("earned, last hour", amount(sum(earned.slice(-HOUR_BUCKETS)))) : null,
      earnings ? figure("earned, last day", amount(day)) : null,
      earnings ? h("div", { key: "spark", class: "figure wide" }, h("dt", null, "24 hours"), h("dd", null,
        sparkline(bars, `earned over the last day, by half hours: ${gft(day)} GFT in all`))) : null),
    earnings && day > 0n ? twin(table("Earned by half hours", ["from", "#earned GFT"], bars
      .map((value, at) => ({ key: at, cells: [clock(buckets[at * BAR_BUCKETS].from_ms), gft(value)], value }))
      .filter((row) => row.value > 0))) : null,
    balance.pending_ugft ? h("p", { class: "muted" }, `${gft(balance.pending_ugft)} GFT more are earned and not yet confirmed.`) : null);
}

/** Where a job stands: generated behind acknowledged. @param {any} job */
export const frontier = (job) => bar(
  `${job.completion_tokens} generated, ${job.acked_tokens} acknowledged, of at most ${job.completion_tokens_max}`, [
    { part: ratio(job.completion_tokens, job.completion_tokens_max), tone: "soft" },
    { part: ratio(Math.max(0, job.acked_tokens), job.completion_tokens_max), tone: "strong" },
  ]);

/** What a job can cost at most, µGFT. @param {any} job */
const mostOf = (job) => big(job.price_ugft_per_token) * big(job.prompt_tokens + job.completion_tokens_max);

/** @param {any} job */
function jobRow(job) {
  const isRunning = RUNNING.has(job.state);
  return h("li", { key: job.job, class: `job ${job.state}` },
    h("a", { class: "id", href: `#/pipeline/${job.job}` }, job.job.slice(0, 8)),
    h("span", { class: "what" }, job.role === "asker" ? "asked" : "works", " · ", job.model_name),
    h("span", { class: "state" }, job.state),
    h("span", { class: "meter" }, h("span", { class: "muted" }, "tokens "),
      h("span", { class: "num" }, `${job.completion_tokens} / ${job.acked_tokens}`), frontier(job)),
    h("span", { class: "meter" }, h("span", { class: "muted" }, job.role === "asker" ? "burned " : "earned "),
      amount(job.role === "asker" ? job.burned_ugft : job.earned_ugft), reserveBar(job.burned_ugft, mostOf(job))),
    h("span", { class: "num right" }, isRunning || job.tokens_per_second ? speed(job.tokens_per_second) : age(now() - job.started_ms)),
    job.error ? h("span", { class: "bad" }, job.error) : null);
}

function jobs() {
  const running = state.jobs.filter((job) => RUNNING.has(job.state));
  const rest = state.jobs.filter((job) => !RUNNING.has(job.state)).slice(0, Math.max(0, 4 - running.length));
  return section("Jobs", running.length ? plural(running.length, "running job") : null,
    running.length + rest.length
      ? h("ul", { class: "jobs" }, [...running, ...rest].map(jobRow))
      : empty(state.hasJobs || state.connection === "starting" ? "No job yet. " : "This node does not tell of its jobs. ",
        h("a", { href: "#/chat" }, "Ask something"), "."));
}

/** @param {any} entry */
export const entryLine = (entry) => h("li", { key: entry.id, class: entry.effect === "ok" || entry.outcome?.name !== "inert" ? "" : "inert" },
  h("span", { class: "muted num" }, clock(entry.time_ms)),
  h("span", { class: "kind" }, entry.kind),
  h("a", { class: "sentence", href: `#/ledger/entry/${entry.id}` }, inGft(entry.summary)));

function newest() {
  const entries = state.entries.slice(-STRIP).reverse();
  return section("Newest entries", state.chain ? h("a", { href: "#/ledger" }, `${state.chain.length} in the chain`) : null,
    entries.length ? h("ol", { class: "strip" }, entries.map(entryLine)) : empty("No entry yet."));
}

export const enter = () => {
  askedMs = 0;
};

export function render() {
  const { status } = state;
  if (!status) return waiting(state);
  askEarnings();
  const found = warnings(status, state.peers);
  return [
    h("header", { class: "lead" },
      h("h1", { class: status.ready && !status.paused ? "ready" : "unready" }, `${sentence(status)}.`),
      h("p", { class: "muted" }, `talkoot ${status.version} · wallet `, idLink("wallet", status.wallet),
        ` · up ${age(status.uptime_ms)}`, status.instruction_set ? ` · ${status.instruction_set}, ${plural(status.threads, "thread")}` : null)),
    found.length ? h("ul", { class: "warnings", "aria-label": "Warnings" }, found.map(({ text, cure, tone }) =>
      h("li", { key: text, class: tone ?? "warn" }, h("span", null, text), cure ? command(cure) : null))) : null,
    status.peers === 0 ? alone() : null,
    money(status),
    jobs(),
    newest(),
  ];
}
