// Networks that a live one rarely is: empty, gone, back again, old, broken.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, until } from "./page.mjs";
import { entry, id, job, peer, serve, status } from "./synthetic.mjs";

const LOST = ["ERR_", "Failed to load resource"];

describe("worlds", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());

  /** A page on a made-up network, and its end. */
  async function world(more, view, options) {
    const node = await serve({ status: status(more.status), peers: more.peers ?? [], jobs: more.jobs ?? [], entries: more.entries ?? 0, ...more.world });
    const shown = await open(browser, node.base, view, options);
    return { ...shown, node, end: async () => {
      await shown.done();
      await node.stop();
    } };
  }

  test("alone: each view says what comes first", async () => {
    const { page, end } = await world({ status: { ready: false, reasons: [], models: [] } }, "now");
    await page.waitForSelector('code:has-text("talkoot invite")');
    await page.waitForSelector('code:has-text("talkoot join TICKET")');
    await page.waitForSelector("text=No job yet");
    await page.waitForSelector("text=No entry yet");
    for (const [key, words] of [["2", "Nobody is connected"], ["3", "No job has run here"], ["4", "No entry is like that"], ["5", "No model is known here"]]) {
      await page.keyboard.press(key);
      await page.waitForSelector(`text=${words}`);
      if (key === "5") break;
      await page.locator("#view").focus();
    }
    await page.goto(`${page.url().split("#")[0]}#/ledger/forks`);
    await page.waitForSelector("text=No log is forked");
    await end();
  });

  test("gaps, pauses and marks are said, with the command that mends them", async () => {
    const coverage = Array(64).fill(1).fill(0, 8, 12);
    const more = {
      status: { peers: 1, ready: false, reasons: ["large has no complete route"], paused: { reason: "on battery", since_ms: 0, until_ms: null }, signing: "waiting for peers",
        models: [{ id: id(7, 9), name: "large", layers: 64, dtype: "bf16", context: 4096, coverage, price_ugft_per_token: 1, local: false }] },
      peers: [peer(40)],
    };
    const { page, end } = await world(more, "now");
    await page.waitForSelector("text=Paused: on battery");
    await page.waitForSelector("text=Not signing: waiting for peers");
    await page.waitForSelector("text=late frontier");
    await page.waitForSelector('code:has-text("talkoot up --model large --layers 8..12")');
    await page.keyboard.press("2");
    await page.waitForSelector(".coverage .gap");
    await page.waitForSelector('.holes code:has-text("--layers 8..12")');
    await page.waitForSelector(".graph line.marked.relayed, .graph line.relayed.marked");
    await end();
  });

  test("integers beyond 2^53 keep their digits", async () => {
    const { page, end } = await world({}, "now");
    await page.waitForSelector("text=9\u202f007\u202f199\u202f254.740993");
    await end();
  });

  test("text of the network is text", async () => {
    const bad = '<img src="x" onerror="document.title=1">';
    const more = { status: { peers: 1, network: bad, reasons: [bad] }, peers: [{ ...peer(1), label: bad, last_mark: bad, marks: 1, software: bad }], entries: 0 };
    const { page, end } = await world(more, "now");
    await page.waitForSelector(".warnings");
    await page.keyboard.press("2");
    await page.waitForSelector(".graph line");
    assert.equal(await page.locator("img").count(), 0);
    await end();
  });

  test("a dropped connection is said, taken up at the cursor, and nothing is missed", async () => {
    const { page, node, end } = await world({ entries: 3 }, "now", { allowed: LOST });
    await page.waitForSelector("#connection.live");
    node.emit("entries", { entries: [entry(3)], chain: { length: 4, tip: id(4, 5) } });
    await page.waitForSelector(`a[href="#/ledger/entry/${id(3, 2)}"]`);
    node.drop();
    const missed = node.emit("entries", { entries: [entry(4)], chain: { length: 5, tip: id(5, 5) } });
    await page.waitForSelector(`a[href="#/ledger/entry/${id(4, 2)}"]`);
    await page.waitForSelector("#connection.live");
    assert.ok(node.asked.includes(`/api/v1/events?after=${missed - 1}`), node.asked.filter((url) => url.includes("events")).join(" "));
    assert.equal(node.asked.filter((url) => url === "/api/v1/state").length, 1, "the whole state was read once");
    await end();
  });

  test("a node that is gone for a while is waited for", async () => {
    const made = { status: status({ peers: 0 }), peers: [], jobs: [], entries: 0 };
    const node = await serve(made);
    const { page, done } = await open(browser, node.base, "now", { allowed: LOST });
    await page.waitForSelector("#connection.live");
    made.isUp = false;
    node.drop();
    await page.waitForSelector("text=connection lost, retrying");
    made.status = status({ peers: 7 });
    made.isUp = true;
    await page.waitForSelector("#connection.live");
    await page.waitForSelector('h1:has-text("7 peers")');
    await done();
    await node.stop();
  });

  test("a page that nobody sees gives its connection back, and goes on when seen", async () => {
    const { page, node, end } = await world({ entries: 3 }, "now", { before: (shown) => shown.clock.install() });
    await page.waitForSelector("#connection.live");
    const see = (visibility) => page.evaluate((value) => {
      Object.defineProperty(document, "visibilityState", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, visibility);
    await see("hidden");
    await page.clock.fastForward(31_000);
    await until("no stream", () => node.streams(), (count) => count === 0);
    node.emit("entries", { entries: [entry(3)], chain: { length: 4, tip: id(4, 5) } });
    await see("visible");
    await page.waitForSelector(`a[href="#/ledger/entry/${id(3, 2)}"]`);
    await until("one stream", () => node.streams(), (count) => count === 1);
    await end();
  });

  test("a node that refuses is quoted", async () => {
    const refused = { error: { message: "only programs of this machine may ask this", code: "loopback_only" } };
    const { page, end } = await world({}, "now", {
      allowed: LOST,
      before: (shown) => shown.route("**/api/v1/**", (route) => route.fulfill({ status: 403, contentType: "application/json", body: JSON.stringify(refused) })),
    });
    await page.waitForSelector('.trouble:has-text("only programs of this machine")');
    await end();
  });

  test("reset reads the state again", async () => {
    const { page, node, end } = await world({}, "now");
    await page.waitForSelector("#connection.live");
    node.emit("reset", {});
    await until("the state again", () => node.asked.filter((url) => url === "/api/v1/state").length, (count) => count === 2);
    await page.waitForSelector("#connection.live");
    await end();
  });

  test("a node without events is asked again and again", async () => {
    const { page, node, end } = await world({ world: { hasEvents: false }, peers: [peer(1)], status: { peers: 1 } }, "now", { allowed: LOST });
    await page.waitForSelector("#connection.polling");
    await until("three rounds", () => node.asked.filter((url) => url === "/api/v1/peers").length, (count) => count >= 3);
    await page.keyboard.press("2");
    await page.waitForSelector(".graph line");
    await end();
  });

  test("a running job moves", async () => {
    const { page, node, end } = await world({ jobs: [job(1, 10)] }, "now");
    await page.waitForSelector("text=1 running job");
    node.emit("job", job(1, 200));
    await page.waitForSelector("text=200 / 184");
    node.emit("job", job(1, 512, "done"));
    await page.waitForSelector(".job.done");
    await end();
  });

  test("an answer that a reload cut says so", async () => {
    const chunk = { choices: [{ index: 0, delta: { content: "Once upon" }, finish_reason: null }], usage: { prompt_tokens: 3, completion_tokens: 2 } };
    const handle = (request, response) => {
      if (request.url !== "/v1/chat/completions") return false;
      // It begins, and goes on for ever.
      response.writeHead(200, { "content-type": "text/event-stream", "x-talkoot-job": id(1, 8) });
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      return true;
    };
    const { page, end } = await world({ world: { handle } }, "chat", { allowed: LOST });
    await page.waitForSelector("#say");
    await page.fill("#say", "Tell me a story.");
    await page.keyboard.press("Enter");
    await page.waitForSelector('.said:has-text("Once upon")');
    await page.reload();
    await page.waitForSelector("text=The page was left before the answer ended");
    await end();
  });

  test("more than 200 peers are a table", async () => {
    const peers = Array.from({ length: 201 }, (_, at) => peer(at));
    const { page, end } = await world({ peers, status: { peers: 201 } }, "network");
    await page.waitForSelector("text=201 peers are too many for a picture");
    assert.equal(await page.locator("table", { hasText: "round trip" }).locator("tbody tr").count(), 201);
    await end();
  });

  test("reduced motion: the graph stands at once", async () => {
    const peers = Array.from({ length: 20 }, (_, at) => peer(at));
    const { page, end } = await world({ peers, status: { peers: 20 } }, "network", { context: { reducedMotion: "reduce" } });
    await page.waitForSelector(".graph line");
    const places = () => page.locator(".graph g g").evaluateAll((all) => all.map((one) => one.getAttribute("transform")).join());
    const first = await places();
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.equal(await places(), first);
    await end();
  });

  test("a fork shows both entries side by side", async () => {
    const forks = { schema: 1, forks: [{ author: id(1), seq: 4, entries: [entry(8), entry(9)], proofs: [id(3)] }], total: 1, authors: 2, chain: { length: 0, tip: id(0) } };
    const { page, end } = await world({ world: { answers: { "/api/v1/ledger/forks": () => forks } } }, "ledger/forks");
    await page.waitForSelector(".pair");
    assert.equal(await page.locator(".pair .facts").count(), 2);
    await end();
  });
});
