// One job: its terms, every factor of the split, how far it came, who agrees.

import { factor, gft, inGft, sum } from "./amounts.js";
import { h } from "./dom.js";
import { resource } from "./resource.js";
import { bytes, clock, count, layers, plural, short, span, utc } from "./text.js";
import { empty, figure, fullLink, idLink, section, table, trouble, amount, reserveBar } from "./widgets.js";

/** @param {any} job */
function sentence(job) {
  const done = Math.max(0, ...job.stages.map((/** @type {any} */ stage) => stage.frontier?.[1] ?? 0));
  const model = job.model_name ?? short(job.model);
  return `${short(job.submitter)} asked ${plural(job.stages.length, "stage")} for up to ${job.completion_tokens_max} tokens of ${model}; ${done} acknowledged, ${gft(job.burned_ugft)} GFT burned.`;
}

/** @param {any} job */
const terms = (job) => h("dl", { class: "facts" }, [
  ["id", h("span", { class: "hex" }, job.id)],
  ["submitter", fullLink("wallet", job.submitter)],
  ["ordered", [utc(job.time_ms), " · ", idLink("entry", job.id), h("span", { class: "muted" }, " (the reservation)")]],
  ["model", [job.model_name ?? "", " ", h("span", { class: "hex muted" }, short(job.model)), `, ${job.layers} layers`]],
  ["tokens", `${job.prompt_tokens} of prompt, at most ${job.completion_tokens_max} of answer`],
  ["price", `${gft(job.price_ugft_per_token)} GFT a token; at most ${gft(job.cap_ugft)} GFT in all`],
  ["state", `${job.state}; ${inGft(job.effect)}; ${job.confirmed ? "confirmed" : "not confirmed yet"}`],
  ["deadline", [utc(job.deadline_ms), h("span", { class: "muted" }, `; founders say that it is over from ${utc(job.over_from_ms)}`)]],
  job.released_by ? ["released by", idLink("entry", job.released_by)] : null,
  job.continues ? ["carries on", idLink("job", job.continues)] : null,
].map((fact) => fact && [h("dt", { key: `${fact[0]}` }, fact[0]), h("dd", { key: `${fact[0]}` }, fact[1])]));

/** @param {any} job */
function split(job) {
  const all = job.stages;
  const rows = all.map((/** @type {any} */ stage, /** @type {number} */ at) => ({
    key: at,
    cells: [idLink("wallet", stage.worker), layers(stage.layers), count(stage.share_kflop), factor(stage.throughput_ppm), factor(stage.pressure_ppm),
      factor(stage.hardware_ppm), count(stage.weight), factor(stage.reliability_ppm), stage.own ? "own" : gft(stage.hold_ugft), gft(stage.burned_ugft), gft(stage.earned_ugft)],
  }));
  const weights = sum(all.map((/** @type {any} */ stage) => stage.weight));
  const held = sum(all.filter((/** @type {any} */ stage) => !stage.own).map((/** @type {any} */ stage) => stage.hold_ugft));
  rows.push({ key: "total", class: "total", cells: ["Σ", layers([0, job.layers]), count(sum(all.map((/** @type {any} */ stage) => stage.share_kflop))), "", "", "", count(weights), "",
    gft(held), gft(sum(all.map((/** @type {any} */ stage) => stage.burned_ugft))), gft(sum(all.map((/** @type {any} */ stage) => stage.earned_ugft)))] });
  return [
    table("The split with every factor", ["stage", "layers", "#share kFLOP", "#T speed", "#P memory", "#M hardware", "#weight", "#R kept", "#hold", "#burned", "#earned"], rows),
    h("p", { class: "muted" }, "weight = share · T · P · M; each stage is held for, and burned for, its part of the weights; it earns R of that, the rest goes to the commons."),
  ];
}

/** @param {any} job */
function stages(job) {
  return table("How far each stage came", ["stage", "layers", "tokens", "last word", "confirmed", "#compute", "#rate kFLOP/ms", "#shard", "#lends"],
    job.stages.map((/** @type {any} */ stage, /** @type {number} */ at) => ({
      key: at,
      cells: [idLink("wallet", stage.worker), layers(stage.layers), stage.frontier ? `${stage.frontier[0]} + ${stage.frontier[1]}` : "–",
        stage.final ? "said" : "open", stage.confirmed ? h("span", { class: "good" }, "yes") : "not yet",
        span(stage.compute_us), stage.service_rate || "new", bytes(stage.shard_bytes), bytes(stage.memory_bytes)],
    })));
}

/** @param {any} job */
function frontiers(job) {
  if (!job.frontiers.length) return empty("No stage has posted what it is owed.");
  return table("The frontier over time", ["time", "entry", "stage", "#prompt", "#answer", "came to", "#burned so far", "state"],
    job.frontiers.map((/** @type {any} */ step) => ({
      key: step.id,
      cells: [clock(step.time_ms), idLink("entry", step.id), step.stage === null ? "none" : `${step.stage + 1} · ${short(step.author)}`,
        step.prompt, step.completion, inGft(step.effect), gft(step.burned_total_ugft),
        step.confirmed ? h("span", { class: "good" }, "confirmed") : `${step.confirmed_by.length} founders`],
    })));
}

/** @param {any} job */
const agreement = (job) => [
  job.neighbours.length ? table("What neighbours say of the bytes between them", ["between", "sent", "received", "verdict"],
    job.neighbours.map((/** @type {any} */ pair) => ({
      key: `${pair.sender}-${pair.receiver}`,
      cells: [`${pair.sender + 1} → ${pair.receiver + 1}`, h("span", { class: "hex" }, short(pair.sent)), h("span", { class: "hex" }, short(pair.received)),
        h("span", { class: pair.verdict === "differ" ? "bad" : pair.verdict === "agree" ? "good" : "muted" }, pair.verdict)],
    }))) : null,
  table("What founders confirmed", ["founder", "#line GFT", "reservation", "#frontiers"],
    job.founders.map((/** @type {any} */ founder) => ({
      key: founder.wallet, cells: [idLink("wallet", founder.wallet), gft(founder.line_ugft), founder.reserve ? h("span", { class: "good" }, "confirmed") : "not yet", founder.frontiers],
    }))),
];

/** @param {string} id */
export function jobPage(id) {
  const { value: job, failure } = resource(`/api/v1/ledger/jobs/${encodeURIComponent(id ?? "none")}`);
  if (!job) return failure ? trouble(failure.status === 404 ? `${failure.message} A free job has no entry.` : failure.message) : empty("Asking the node …");
  return [
    h("header", { class: "lead", key: "lead" }, h("p", { class: "crumb" }, `job, ${job.state}`), h("h1", null, sentence(job))),
    section("Bill, GFT", h("a", { href: `#/pipeline/${job.id}` }, "where the time went"),
      h("dl", { class: "figures" },
        figure("burned", amount(job.burned_ugft), reserveBar(job.burned_ugft, job.cap_ugft)),
        figure("earned by stages", amount(job.earned_ugft)),
        figure("to the commons", amount(job.commons_ugft)),
        figure("still held", amount(job.held_ugft)),
        figure("at most", amount(job.cap_ugft)))),
    section("Terms", h("a", { href: `#/ledger?job=${job.id}` }, "all entries about it"), terms(job)),
    section("The split", null, split(job)),
    section("Stages", null, stages(job)),
    section("The frontier", plural(Number(job.frontiers_total), "entry", "entries"), frontiers(job)),
    section("Agreement", null, agreement(job)),
    job.divy ? section("By the reference accounting, in credits", "never booked", h("dl", { class: "figures" },
      figure("quoted", job.divy.quoted_credits.toFixed(3)), figure("settled", job.divy.settled_credits.toFixed(3)),
      figure("by stage", job.divy.stage_credits.map((/** @type {number} */ credits) => credits.toFixed(3)).join(" · ")))) : null,
  ];
}
