// 200 peers, 10,000 entries, everything moving: no frame takes 60 ms.
//
// A frame's time is from the start of its callbacks to the first task after it
// was drawn: script, style, layout and paint. The time between frames is printed
// too, and not judged: on a busy machine it is the machine's. For the same reason
// the best of three runs counts, and a run that was too slow counts only if an
// empty page was quick before and after it: else other programs had the processor.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open } from "./page.mjs";
import { entry, id, job, peer, serve, status } from "./synthetic.mjs";

const PEERS = 200;
const ENTRIES = 10_000;
const FRAME_MS_MAX = 60;
const RUN_MS = 4000;
const WARM_MS = 1500;
const RUNS = 3;
const ATTEMPTS = 8;
/** What a frame of an empty page takes at most on a machine that can be judged. */
const CALM_MS_MAX = 8;
const CALM_RUN_MS = 1000;

/** In the page: measures frames for some time, doing `step` in each. */
async function measure({ ms, what }) {
  const work = [];
  const gaps = [];
  const channel = new MessageChannel();
  const end = performance.now() + ms;
  let last = 0;
  let down = true;
  await new Promise((resolve) => {
    const frame = (stamp) => {
      const begun = performance.now();
      if (last) gaps.push(stamp - last);
      last = stamp;
      if (what === "scroll") {
        const list = document.querySelector(".entries");
        if (list.scrollTop + list.clientHeight >= list.scrollHeight - 400) down = false;
        if (list.scrollTop <= 0) down = true;
        list.scrollTop += down ? 700 : -700;
      }
      channel.port1.onmessage = () => {
        work.push(performance.now() - begun);
        if (performance.now() > end) resolve();
        else requestAnimationFrame(frame);
      };
      // Runs after this frame's drawing: it is a task, and the frame is not over.
      requestAnimationFrame(() => {});
      channel.port2.postMessage(0);
    };
    requestAnimationFrame(frame);
  });
  return { work, gaps };
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
function told({ work, gaps }) {
  const [frames, between] = [work, gaps].map((list) => [...list].sort((a, b) => a - b));
  return { count: frames.length, p50: at(frames, 0.5), p95: at(frames, 0.95), max: frames.at(-1), gap95: at(between, 0.95), gapMax: between.at(-1) };
}

/** Whether the machine leaves the browser alone: an empty page has quick frames. */
async function isCalm(browser) {
  const page = await browser.newPage();
  const { max } = told(await page.evaluate(measure, { ms: CALM_RUN_MS, what: "" }));
  await page.close();
  return max < CALM_MS_MAX;
}

describe("speed", () => {
  let browser;
  let node;
  let timer;
  before(async () => {
    browser = await launch();
    const peers = Array.from({ length: PEERS }, (_, number) => peer(number));
    const jobs = Array.from({ length: 64 }, (_, number) => job(number, 30, number < 6 ? "answering" : "done"));
    const world = { status: status({ peers: PEERS, books: { wallets: PEERS, forked_wallets: 0 } }), peers, jobs, entries: ENTRIES };
    node = await serve(world);
    let tick = 0;
    // 20 entries, 4 reports of each of 6 jobs, and status and peers, a second.
    timer = setInterval(() => {
      tick += 1;
      world.entries += 5;
      const fresh = Array.from({ length: 5 }, (_, number) => entry(world.entries - 5 + number));
      world.status = { ...world.status, uptime_ms: tick * 250, chain: { length: world.entries, tip: id(world.entries, 5) } };
      node.emit("entries", { entries: fresh, chain: world.status.chain });
      for (let number = 0; number < 6; number += 1) node.emit("job", job(number, tick % 512));
      if (tick % 4) return;
      world.peers = world.peers.map((one, number) => (number % 7 === tick % 7 ? { ...one, rtt_us: one.rtt_us + 900 } : one));
      // One leaves and one comes, so that the graph never rests.
      world.peers = [...world.peers.slice(1), peer(PEERS + tick)];
      node.emit("status", world.status);
      node.emit("peers", { schema: 1, peers: world.peers });
    }, 250);
  });
  after(async () => {
    clearInterval(timer);
    await browser.close();
    await node.stop();
  });

  for (const [name, view, ready, what] of [
    ["now, with six jobs running", "now", ".jobs li", ""],
    ["the graph of 200, moving", "network", ".graph line", ""],
    ["the list of 10,000, scrolled while it grows", "ledger", ".entries .row", "scroll"],
  ]) {
    test(name, async (context) => {
      let best = null;
      let judged = 0;
      for (let attempt = 0; attempt < ATTEMPTS && judged < RUNS; attempt += 1) {
        const wasCalm = await isCalm(browser);
        const { page, done } = await open(browser, node.base, view);
        await page.waitForSelector(ready);
        if (what === "scroll") {
          // Loads all of the chain first, as whoever scrolls to its beginning does.
          await page.evaluate(() => {
            document.querySelector(".entries").scrollTop = 1e9;
          });
          await page.waitForFunction((count) => {
            const list = document.querySelector(".entries");
            list.scrollTop = 1e9;
            return Number(list.getAttribute("aria-rowcount")) >= count;
          }, ENTRIES, { timeout: 60_000 });
        }
        await page.evaluate(measure, { ms: WARM_MS, what });
        const figures = told(await page.evaluate(measure, { ms: RUN_MS, what }));
        await done();
        context.diagnostic(`${figures.count} frames: p50 ${figures.p50.toFixed(1)}, p95 ${figures.p95.toFixed(1)}, max ${figures.max.toFixed(1)} ms; between frames p95 ${figures.gap95.toFixed(1)}, max ${figures.gapMax.toFixed(1)} ms`);
        const isSlow = figures.max >= FRAME_MS_MAX;
        if (isSlow && !(wasCalm && await isCalm(browser))) {
          context.diagnostic("not judged: other programs use the machine");
          continue;
        }
        judged += 1;
        if (!best || figures.max < best.max) best = figures;
        if (!isSlow) break;
      }
      if (!best) {
        context.skip(`the machine was busy in all of ${ATTEMPTS} runs`);
        return;
      }
      assert.ok(best.count > 30, `${best.count} frames are too few to judge`);
      assert.ok(best.max < FRAME_MS_MAX, `the slowest frame took ${best.max.toFixed(1)} ms`);
    });
  }
});
