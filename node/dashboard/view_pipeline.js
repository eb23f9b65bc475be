// "Pipeline": one job, hop by hop and token by token.

import { get, Refusal } from "./api.js";
import { gft } from "./amounts.js";
import { legend, partsOf, rows, tokenStrip, waterfall } from "./charts.js";
import { h } from "./dom.js";
import { changed, now, state } from "./store.js";
import { age, layers, plural, span, speed, utc } from "./text.js";
import { amount, empty, figure, idLink, section, table, trouble, twin } from "./widgets.js";
import { frontier } from "./view_now.js";

export const title = "Pipeline";

const DETAIL_EVERY_MS = 1000;

/** @type {any} */
let detail = null;
let failure = "";
let wanted = "";
let askedMs = 0;
let askedFor = "";

/** @param {string} id @param {any} [run] */
async function askDetail(id, run) {
  // Ended jobs are read once, running ones again and again.
  const mark = `${id}:${run?.ended_ms ?? run?.completion_tokens ?? ""}`;
  if (mark === askedFor || (id === wanted && Date.now() - askedMs < DETAIL_EVERY_MS)) return;
  if (id !== wanted) {
    detail = null;
    failure = "";
  }
  wanted = id;
  askedFor = mark;
  askedMs = Date.now();
  try {
    const answer = await get(`/api/v1/jobs/${encodeURIComponent(id)}`);
    if (id !== wanted) return;
    detail = answer;
    failure = "";
  } catch (error) {
    if (id !== wanted) return;
    failure = error instanceof Refusal ? error.message : String(error);
  }
  changed();
}

/** @param {any} job @param {string} chosen */
const option = (job, chosen) => h("li", { key: job.job, class: job.state },
  h("a", { href: `#/pipeline/${job.job}`, "aria-current": job.job === chosen ? "true" : null },
    h("span", { class: "id" }, job.job.slice(0, 8)), h("span", { class: "num" }, speed(job.tokens_per_second)),
    h("span", { class: "muted" }, `${job.role === "asker" ? "asked" : "works"} · ${job.model_name} · ${age(now() - job.started_ms)} ago`),
    h("span", { class: "muted state" }, job.state)));

/** @param {any} run */
function figures(run) {
  const settled = run.role === "asker" ? ["burned", run.burned_ugft] : ["earned", run.earned_ugft];
  return h("dl", { class: "figures" },
    figure("state", run.state, run.error),
    figure("speed", speed(run.tokens_per_second)),
    figure("first token", run.time_to_first_token_us ? span(run.time_to_first_token_us) : "–"),
    figure("tokens", `${run.prompt_tokens} + ${run.completion_tokens}`, frontier(run)),
    figure(`${settled[0]}, GFT`, amount(settled[1]), h("a", { href: `#/ledger/job/${run.job}` }, "the bill")),
    figure("began", utc(run.started_ms).slice(11, 19), run.ended_ms ? `took ${span((run.ended_ms - run.started_ms) * 1000)}` : "runs"));
}

/** @param {any} run */
function hops(run) {
  const all = rows(run);
  if (!all.length) return section("A token's way", null, empty("No stage has been measured yet: the times begin with the second token."));
  const total = all.reduce((time, row) => time + row.p50, 0);
  const known = run.role === "worker" ? `as far as this node's stage, ${span(total)} at p50` : `${plural(run.stages.length, "stage")}, ${span(total)} at p50`;
  return section("A token's way", known,
    waterfall(all), legend(),
    twin(table("A token's way", ["hop", "part", "#p50", "#p95"], all.map((row, at) => ({
      key: at, cells: [row.name, row.kind, span(row.p50), span(row.p95)],
    })))));
}

/** @param {any} run */
function perToken(run) {
  const tokens = run.tokens ?? [];
  if (!tokens.length) return section("Token by token", null, empty("No token has been measured yet."));
  return section("Token by token", plural(tokens.length, "token"), tokenStrip(tokens),
    twin(table("The newest tokens", ["#token", "#interval", "#compute", "#wait", "#wire"], tokens.slice(-64).map((/** @type {any} */ token, /** @type {number} */ at) => ({
      key: at, cells: [Math.max(0, tokens.length - 64) + at + 1, span(token.interval_us), ...partsOf(token).map(span)],
    })))));
}

/** @param {any} run */
const stages = (run) => section("Stages", null, table("Stages",
  ["peer", "layers", "#compute a token", "#hop a token", "#earned GFT"],
  run.stages.map((/** @type {any} */ stage, /** @type {number} */ at) => ({
    key: at, cells: [idLink("wallet", stage.peer), layers(stage.layers), span(stage.compute_us_per_token), span(stage.hop_us_per_token), gft(stage.earned_ugft)],
  }))));

/** @param {string} id */
function chosenRun(id) {
  const listed = state.jobs.find((job) => job.job === id || job.job.startsWith(id));
  askDetail(listed?.job ?? id, listed);
  if (detail && wanted === (listed?.job ?? id)) return { ...detail, ...listed, hops: detail.hops, wire_us: detail.wire_us, tokens: detail.tokens };
  return listed;
}

/** @param {string[]} path */
export function render([asked]) {
  const id = asked ?? state.jobs[0]?.job;
  if (!id) return [section("Jobs", null, empty(state.hasJobs || state.connection === "starting" ? "No job has run here since the node started. " : "This node does not tell of its jobs. ",
    h("a", { href: "#/chat" }, "Ask something"), " and watch it here."))];
  const run = chosenRun(id);
  const list = state.jobs.length ? h("ul", { class: "picker", "aria-label": "Jobs" }, state.jobs.map((job) => option(job, run?.job ?? id))) : empty("No other job is known.");
  return h("div", { class: "runs", key: "runs" },
    section("Jobs", `${state.jobs.length}`, list),
    h("div", { class: "run", key: "run" },
      run ? [
        section(`Job ${run.job.slice(0, 8)}`, h("a", { href: `#/ledger/job/${run.job}` }, "in the ledger"), figures(run)),
        hops(run), perToken(run), stages(run),
      ] : failure ? section("Job", null, trouble(failure), h("p", null, h("a", { href: `#/ledger/job/${id}` }, "Look for it in the ledger"))) : empty("Asking the node …")));
}
