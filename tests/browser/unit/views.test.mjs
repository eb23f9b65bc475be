// What views decide before they draw: sentences, warnings, rows, places.

import assert from "node:assert/strict";
import { test } from "node:test";
import { partsOf, rows, speeds } from "../../../node/dashboard/charts.js";
import { dataOf } from "../../../node/dashboard/chat_stream.js";
import { lanes } from "../../../node/dashboard/coverage.js";
import { reach, step } from "../../../node/dashboard/graph.js";
import { sentence, warnings } from "../../../node/dashboard/view_now.js";
import { peer, status } from "../synthetic.mjs";

const serving = [{ model: "m", name: "demo", layers: [0, 8], layers_total: 8 }];
const model = (coverage, name = "demo") => ({ id: "m", name, layers: coverage.length, coverage });

test("one sentence about the node", () => {
  assert.equal(sentence(status({ serving, models: [model([2, 2])], peers: 3 })), "Serving layers 0..8 of demo; 2 complete routes; 3 peers");
  assert.equal(sentence(status({ models: [model([1, 0])], peers: 1 })), "Serving nothing, asking only; no complete route; 1 peer");
  assert.equal(sentence(status({ models: [model([1]), model([0], "large")] })), "Serving nothing, asking only; demo: 1 route; no peers");
  assert.match(sentence(status({ paused: { kind: "battery", reason: "on battery", since_ms: 0, until_ms: null } })), /^Paused;/);
});

test("warnings name what mends them, and a healthy node has none", () => {
  assert.deepEqual(warnings(status({ models: [model([1, 1])] }), []), []);
  const gap = warnings(status({ models: [model([1, 0, 0, 1])] }), []);
  assert.deepEqual(gap, [{ text: "Nobody serves layers 1..3 of demo.", cure: "talkoot up --model demo --layers 1..3" }]);
  const [byHand] = warnings(status({ models: [], paused: { kind: "by_hand", reason: "by hand", since_ms: 0, until_ms: null } }), []);
  assert.equal(byHand.cure, "talkoot resume");
  const [battery] = warnings(status({ models: [], paused: { kind: "battery", reason: "on battery", since_ms: 0, until_ms: null } }), []);
  assert.equal(battery.cure, undefined);
  assert.match(warnings(status({ models: [], signing: "waiting" }), [])[0].text, /Not signing/);
  assert.match(warnings(status({ models: [] }), [peer(40)])[0].text, /1 peer has marks; the newest: late frontier/);
});

test("a job's way: wait, compute and wire of each hop", () => {
  const stages = [{ peer: "a".repeat(64), layers: [0, 4], compute_us_per_token: 9, hop_us_per_token: 5 }];
  const hops = [{ stage: 0, wait_us: { p50: 3, p95: 4 }, compute_us: { p50: 1, p95: 2 }, wire_us: { p50: 5, p95: 6 } }];
  assert.deepEqual(rows({ role: "asker", stages, hops }).map((row) => [row.kind, row.p50, row.p95]), [["wait", 3, 4], ["compute", 1, 2], ["wire", 5, 6]]);
  // A worker knows the stages up to its own, and nothing of the wire.
  const own = rows({ role: "worker", stages: [...stages, ...stages], hops });
  assert.deepEqual(own.map((row) => [row.kind, row.p50]), [["wait", 3], ["compute", 1]]);
  assert.deepEqual(rows({ stages }).map((row) => [row.kind, row.p50]), [["compute", 9], ["wire", 5]]);
  assert.deepEqual(rows({ stages: [] }), []);
  // A job of which no token has come yet: stages, and nothing of their times.
  const blank = [{ ...stages[0], compute_us_per_token: 0, hop_us_per_token: 0 }];
  assert.deepEqual(rows({ stages: blank, hops: [], wire_us: { p50: 0, p95: 0 } }), []);
});

test("speed is over the newest tokens", () => {
  const tokens = Array.from({ length: 40 }, (_, at) => ({ interval_us: at < 20 ? 10_000 : 20_000 }));
  const found = speeds(tokens);
  assert.equal(found[0], 100);
  assert.equal(found.at(-1), 50);
  assert.deepEqual(partsOf({ wire_us: 7, stages: [{ wait_us: 1, compute_us: 2 }, { wait_us: 3, compute_us: 4 }] }), [6, 4, 7]);
});

test("lanes are sorted by layer, with our own", () => {
  const own = status({ serving: [{ model: "m", name: "demo", layers: [4, 8] }] });
  const found = lanes(model(Array(8).fill(1)), own, [{ ...peer(3), serving: [{ model: "m", layers: [0, 4] }, { model: "other", layers: [0, 1] }] }]);
  assert.deepEqual(found.map((lane) => [lane.layers, lane.isOwn]), [[[0, 4], false], [[4, 8], true]]);
});

test("the forces keep points apart, near their distance, and finite", () => {
  const points = Array.from({ length: 30 }, (_, at) => ({ id: `${at}`, x: at ? at / 10 : 0, y: 0, dx: 0, dy: 0, reach: at ? reach(1000 * at) : 0 }));
  for (let round = 0; round < 400; round += 1) step(points, 0.99 ** round);
  assert.deepEqual([points[0].x, points[0].y], [0, 0]);
  for (const [at, one] of points.entries()) {
    assert.ok(Number.isFinite(one.x) && Number.isFinite(one.y));
    for (const other of points.slice(at + 1)) assert.ok(Math.hypot(one.x - other.x, one.y - other.y) > 8, "two points lie on each other");
  }
  assert.ok(reach(50_000) > reach(500));
});

test("events are their data lines", () => {
  assert.equal(dataOf("data: one"), "one");
  assert.equal(dataOf(": silence"), null);
  assert.equal(dataOf("event: x\ndata: a\ndata: b"), "a\nb");
});
