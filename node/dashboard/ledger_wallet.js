// One wallet; all balances with their sum; forked logs side by side.

import { get } from "./api.js";
import { big, gft, inGft, sum } from "./amounts.js";
import { h } from "./dom.js";
import { facts } from "./ledger_entry.js";
import { resource } from "./resource.js";
import { clock, plural, short } from "./text.js";
import { amount, empty, figure, idLink, section, sparkline, table, trouble, twin } from "./widgets.js";
import { entryLine } from "./view_now.js";

const HOURS = 48;
/** Pages of 1000 balances that are read. */
const PAGES_MAX = 20;

/** @param {any} author */
function standing(author) {
  if (author.founder_line_ugft !== null && author.founder_line_ugft !== undefined) return ["A founder, with a line of ", gft(author.founder_line_ugft), " GFT in the founding document."];
  if (author.named_in) return ["Named by ", idLink("wallet", author.named_by), " in ", idLink("entry", author.named_in), "."];
  return ["Named by nobody held here."];
}

/** @param {string} wallet */
function earnings(wallet) {
  const { value } = resource(`/api/v1/ledger/earnings?wallet=${wallet}&bucket_ms=3600000&count=${HOURS}`);
  if (!value) return null;
  const busy = value.buckets.filter((/** @type {any} */ one) => big(one.earned_ugft) + big(one.burned_ugft) > 0n);
  return section("Earned and burned, GFT", `${HOURS} hours`,
    h("dl", { class: "figures" },
      figure("earned in all", amount(value.earned_total_ugft)), figure("burned in all", amount(value.burned_total_ugft)),
      figure("earned by hour", sparkline(value.buckets.map((/** @type {any} */ one) => Number(one.earned_ugft)), "earned by hour; the table says the same")),
      figure("burned by hour", sparkline(value.buckets.map((/** @type {any} */ one) => Number(one.burned_ugft)), "burned by hour; the table says the same"))),
    busy.length ? twin(table("Earned and burned by hour", ["from", "#earned", "#burned", "#jobs worked", "#jobs asked"], busy.map((/** @type {any} */ one) => ({
      key: one.from_ms, cells: [clock(one.from_ms), gft(one.earned_ugft), gft(one.burned_ugft), one.jobs_worked, one.jobs_asked],
    })))) : null);
}

/** @param {any} account */
const accountFigures = (account) => h("dl", { class: "figures" },
  figure("balance", amount(account.balance_ugft)), figure("available", amount(account.available_ugft)),
  figure("held", amount(account.held_ugft)), figure("pending", amount(account.pending_ugft)), figure("credit line", amount(account.line_ugft)));

/** @param {string} id */
export function walletPage(id) {
  const { value: author, failure } = resource(`/api/v1/ledger/authors/${encodeURIComponent(id ?? "none")}`);
  if (!author) return failure ? trouble(failure.message) : empty("Asking the node …");
  const isForked = author.forked_at !== null && author.forked_at !== undefined;
  return [
    h("header", { class: "lead", key: "lead" }, h("p", { class: "crumb" }, "wallet"), h("h1", { class: "hex" }, author.wallet), h("p", { class: "muted" }, standing(author))),
    isForked ? trouble(`Its log is forked at number ${author.forked_at}: what it wrote from there on counts only where founders confirmed it.`, "talkoot ledger forks") : null,
    section("Account, GFT", author.service_rate ? `median speed ${author.service_rate} kFLOP/ms` : null, accountFigures(author.account)),
    earnings(author.wallet),
    section("Jobs", `${author.submitted_total} asked, ${author.worked_total} worked`, author.jobs.length ? table("Jobs", ["job", "role", "#burned", "#earned", "#held", "came to", "state"],
      author.jobs.map((/** @type {any} */ job) => ({
        key: job.job, cells: [idLink("job", job.job), job.role, gft(job.burned_ugft), gft(job.earned_ugft), gft(job.held_ugft), inGft(job.effect), job.confirmed ? h("span", { class: "good" }, "confirmed") : "not yet"],
      }))) : empty("No job.")),
    section("Log", h("a", { href: `#/ledger?author=${author.wallet}` }, plural(Number(author.entries_total), "entry", "entries")),
      author.entries.length ? h("ol", { class: "strip" }, [...author.entries].reverse().map(entryLine)) : empty("It has written nothing.")),
  ];
}

/** All pages of balances as one. */
async function allBalances() {
  /** @type {any} */
  let all = null;
  let after = "";
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const next = await get(`/api/v1/ledger/balances${after && `?after=${after}`}`);
    all = all ? { ...next, balances: [...all.balances, ...next.balances] } : next;
    if (!next.next_after) return { ...all, isWhole: true };
    after = next.next_after;
  }
  return { ...all, isWhole: false };
}

export const balancesResource = () => resource("balances", allBalances);

export function balancesPage() {
  const { value, failure } = balancesResource();
  if (!value) return failure ? trouble(failure.message) : empty("Asking the node …");
  const total = sum(value.balances.map((/** @type {any} */ one) => one.balance_ugft));
  const all = total + big(value.commons_ugft);
  const rows = value.balances.map((/** @type {any} */ one) => ({
    key: one.wallet, cells: [idLink("wallet", one.wallet), gft(one.balance_ugft), gft(one.available_ugft), gft(one.held_ugft), gft(one.pending_ugft), gft(one.line_ugft)],
  }));
  rows.push(
    { key: "commons", cells: ["commons", gft(value.commons_ugft), "", "", "", ""] },
    { key: "sum", class: "total", cells: ["Σ balances + commons", gft(all), "", "", "", ""] },
  );
  return [
    section("Balances, GFT", plural(value.balances.length, "wallet"),
      table("Balances", ["wallet", "#balance", "#available", "#held", "#pending", "#credit line"], rows),
      h("p", { class: value.isWhole && all !== 0n ? "bad" : "muted" }, value.isWhole
        ? all === 0n ? "Added up in this browser: 0, as always. Nothing is issued and nothing is lost." : "Added up in this browser this is not 0: the books that were shown are wrong."
        : "These are not all wallets, so the sum is of these.")),
  ];
}

export function forksPage() {
  const { value, failure } = resource("/api/v1/ledger/forks");
  if (!value) return failure ? trouble(failure.message) : empty("Asking the node …");
  if (!value.forks.length) return [section("Forked logs", `${value.authors} wallets looked at`, empty("No log is forked: nobody wrote two entries at one number."))];
  return value.forks.map((/** @type {any} */ fork) => section(`${short(fork.author)} at number ${fork.seq ?? "?"}`, h("span", { class: "bad" }, "conflicting"),
    h("div", { class: "pair" }, fork.entries.map((/** @type {any} */ entry) => h("div", { key: entry.id }, h("p", null, h("a", { href: `#/ledger/entry/${entry.id}` }, inGft(entry.summary))), facts(entry)))),
    h("p", { class: "muted" }, "proven by ", fork.proofs.length ? fork.proofs.map((/** @type {string} */ id) => [idLink("entry", id), " "]) : "nothing yet but these two")));
}
