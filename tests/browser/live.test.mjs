// The views with what a running network says.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, launch, makeJob, NODE, open, overflow, PICTURES, until, WORKER } from "./page.mjs";

/** What each view must show before it counts as drawn. */
const VIEWS = {
  now: ".lead h1.ready, .lead h1.unready",
  network: ".graph .own circle",
  pipeline: ".waterfall",
  ledger: ".entries .row",
  chat: "#say",
};

describe("live", () => {
  let browser;
  let job;
  before(async () => {
    browser = await launch();
    job = await makeJob();
    await until("settled", () => ask(`/api/v1/ledger/jobs/${job}`), (view) => view.state === "done" && view.confirmed);
  });
  after(() => browser.close());

  for (const [view, drawn] of Object.entries(VIEWS)) {
    test(`${view} renders live data without a complaint`, async () => {
      const { page, requests, done } = await open(browser, NODE, view);
      await page.waitForSelector(drawn);
      assert.match(await page.title(), new RegExp(`^${view[0].toUpperCase()}${view.slice(1)} · Talkoot$`));
      assert.ok(requests.some((url) => url.includes("/api/v1/")), "it asked the node");
      await done();
    });
  }

  test("now says what the node says", async () => {
    const { page, done } = await open(browser, NODE, "now");
    const status = await ask("/api/v1/status");
    const lead = await page.locator(".lead h1").textContent();
    assert.match(lead, new RegExp(`${status.peers} peers?`));
    assert.match(lead, /1 complete route/);
    const balance = (await page.locator(".figure", { hasText: "balance" }).locator("dd").first().textContent()).replaceAll("\u202f", "").replace("−", "-");
    assert.equal(balance.replace(".", "").replace(/^(-?)0+(?=\d)/, "$1"), String(status.balance.balance_ugft));
    await page.waitForSelector(".strip li");
    await done();
  });

  test("a worker says what it serves, earns and works in", { skip: !WORKER }, async () => {
    const { page, done } = await open(browser, WORKER, "now");
    const status = await ask("/api/v1/status", undefined, WORKER);
    const [{ layers, name }] = status.serving;
    await page.waitForSelector(`h1:has-text("Serving layers ${layers.join("..")} of ${name}")`);
    await page.waitForSelector('.job .what:has-text("works")');
    const earned = page.locator(".figure", { hasText: "earned, last day" }).locator("dd");
    await earned.waitFor();
    assert.ok(Number((await earned.textContent()).replaceAll("\u202f", "")) > 0);
    await page.keyboard.press("3");
    await page.waitForSelector("text=as far as this node's stage");
    await page.waitForSelector(".waterfall rect.compute");
    assert.equal(await page.locator(".waterfall rect.wire").count(), 0, "a worker cannot know the wire");
    await done();
  });

  test("network shows every peer, in the picture and in the table", async () => {
    const { page, done } = await open(browser, NODE, "network");
    const { peers } = await ask("/api/v1/peers");
    await page.waitForSelector(".graph line");
    assert.equal(await page.locator(".graph line").count(), peers.length);
    const text = await page.locator("table", { hasText: "round trip" }).textContent();
    for (const peer of peers) assert.ok(text.includes(peer.wallet.slice(0, 8)), peer.wallet);
    assert.equal(await page.locator(".coverage .served").count(), peers.reduce((count, peer) => count + peer.serving.length, 0));
    await done();
  });

  test("pipeline shows the hops of a job and links to its bill", async () => {
    const { page, done } = await open(browser, NODE, `pipeline/${job}`);
    await page.waitForSelector(".waterfall");
    const stages = (await ask(`/api/v1/ledger/jobs/${job}`)).stages.length;
    assert.equal(await page.locator(".waterfall rect.compute:not(.tail)").count(), stages);
    await page.waitForSelector(".perToken");
    await page.locator("a", { hasText: "the bill" }).click();
    await page.waitForSelector(`h1:has-text("acknowledged")`);
    await done();
  });

  test("a new entry shows up by itself", async () => {
    const { page, done } = await open(browser, NODE, "ledger");
    await page.waitForSelector(".entries .row");
    const before = Number(await page.locator(".entries").getAttribute("aria-rowcount"));
    await makeJob();
    await page.waitForFunction((count) => Number(document.querySelector(".entries")?.getAttribute("aria-rowcount")) > count, before);
    await done();
  });

  test("keys lead through the views", async () => {
    const { page, done } = await open(browser, NODE, "now");
    await page.waitForSelector(".lead h1");
    for (const [key, view] of [["2", "network"], ["3", "pipeline"], ["4", "ledger"]]) {
      await page.keyboard.press(key);
      await page.waitForSelector(`#tabs a[aria-current=page][href="#/${view}"]`);
    }
    await page.keyboard.press("1");
    await page.waitForSelector("#view.now");
    // Whoever types on at once loses no key: the field has the focus before the next one comes.
    const focusAfter = (key) => page.evaluate((key) => {
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      return document.activeElement?.id;
    }, key);
    assert.equal(await focusAfter("5"), "say");
    await page.locator("#view").focus();
    assert.equal(await focusAfter("/"), "search", "from another view");
    await page.locator("#view").focus();
    assert.equal(await focusAfter("/"), "search", "from the ledger");
    // Keys within a field are text.
    await page.keyboard.type("1");
    assert.equal(await page.inputValue("#search"), "1");
    await page.locator("#view").focus();
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog:not([open])", { state: "attached" });
    await done();
  });

  test("the skip link leads to the view and leaves the address", async () => {
    const { page, done } = await open(browser, NODE, "network");
    await page.waitForSelector(".graph line");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.id === "view");
    assert.ok(page.url().endsWith("#/network"));
    await done();
  });

  test("an address that is none is the first view, or says what is wrong", async () => {
    const { page, done } = await open(browser, NODE, "%E0%A4%A", { allowed: ["400", "404"] });
    await page.waitForSelector("#view.now .lead h1");
    await page.goto(`${NODE}/#/ledger/entry/..%2F..%2Fstatus`);
    await page.waitForSelector(".trouble");
    await page.goto(`${NODE}/#/ledger/job`);
    await page.waitForSelector(".trouble");
    await done();
  });

  test("everything that takes keys shows its focus", async () => {
    const { page, done } = await open(browser, NODE, "ledger");
    await page.waitForSelector(".entries .row");
    for (let press = 0; press < 12; press += 1) {
      await page.keyboard.press("Tab");
      const seen = await page.evaluate(() => {
        const element = document.activeElement;
        const style = getComputedStyle(element);
        return { tag: element.tagName, width: parseFloat(style.outlineWidth), style: style.outlineStyle };
      });
      assert.ok(seen.tag === "BODY" || (seen.style !== "none" && seen.width >= 1), JSON.stringify(seen));
    }
    await done();
  });

  const wallet = () => ask("/api/v1/status").then((status) => status.wallet);
  test("360 pixels are enough for every page", async () => {
    const pages = [...Object.keys(VIEWS), `pipeline/${job}`, `ledger/entry/${job}`, `ledger/job/${job}`, `ledger/wallet/${await wallet()}`, "ledger/balances", "ledger/forks"];
    for (const view of pages) {
      const { page, done } = await open(browser, NODE, view, { context: { viewport: { width: 360, height: 780 } } });
      await page.waitForSelector(VIEWS[view] ?? "section h2");
      assert.ok(await overflow(page) <= 0, `${view} is ${await overflow(page)} px too wide`);
      await done();
    }
  });

  test("light and dark: as the system has it, or as chosen", async () => {
    const ground = (page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await open(browser, NODE, "now", { context: { colorScheme: "light" } });
    const dark = await open(browser, NODE, "now", { context: { colorScheme: "dark" } });
    const [bright, dim] = [await ground(light.page), await ground(dark.page)];
    assert.notEqual(bright, dim);
    await light.page.locator("#theme").click(); // light
    assert.equal(await ground(light.page), bright);
    await light.page.locator("#theme").click(); // dark
    assert.equal(await ground(light.page), dim);
    await light.page.reload();
    await light.page.waitForSelector(".lead h1");
    assert.equal(await ground(light.page), dim, "the choice is kept");
    await light.done();
    await dark.done();
  });

  for (const scheme of ["light", "dark"]) {
    test(`text can be read against its ground, ${scheme}`, async () => {
      for (const view of Object.keys(VIEWS)) {
        const { page, done } = await open(browser, NODE, view, { context: { colorScheme: scheme } });
        await page.waitForSelector(VIEWS[view]);
        assert.deepEqual(await page.evaluate(faint), [], view);
        await done();
      }
    });
  }

  test("landmarks and names for those who do not see the page", async () => {
    const { page, done } = await open(browser, NODE, "network");
    await page.waitForSelector(".graph line");
    for (const landmark of ["header", "nav[aria-label]", "main", "[role=status][aria-live]"]) {
      assert.ok(await page.locator(landmark).count() > 0, landmark);
    }
    const nameless = await page.evaluate(() => [...document.querySelectorAll("svg:not([role=img]), [role=img]:not([aria-label]), button, input, select")]
      .filter((one) => !(one.getAttribute("aria-label") || one.textContent?.trim() || one.labels?.length)).map((one) => one.outerHTML.slice(0, 120)));
    assert.deepEqual(nameless, []);
    await done();
  });

  test("pictures for the README", { skip: !PICTURES }, async () => {
    for (let jobs = 0; jobs < 6; jobs += 1) await makeJob(400, 0.8);
    for (const [view, drawn] of Object.entries(VIEWS)) {
      const { page, done } = await open(browser, view === "now" && WORKER ? WORKER : NODE, view);
      await page.waitForSelector(drawn);
      if (view === "chat") {
        await page.fill("#say", "Tell me a story about a fox who lost a drum.");
        await page.keyboard.press("Enter");
        await page.waitForSelector("[data-receipt=done] [data-job]");
        await page.fill("#say", "And one about a bear?");
        await page.waitForSelector("[data-cap]");
      }
      // The graph has come to rest, and the figures have been asked for.
      await page.waitForTimeout(4000);
      if (view === "now") {
        const running = makeJob(900, 1.3);
        await page.waitForSelector(".job.answering .fill.strong");
        await page.screenshot({ path: `${PICTURES}/dashboard-${view}.png` });
        await running;
      } else await page.screenshot({ path: `${PICTURES}/dashboard-${view}.png` });
      await done();
    }
    const { page, done } = await open(browser, WORKER || NODE, "now", { context: { viewport: { width: 360, height: 780 }, colorScheme: "dark" } });
    await page.waitForSelector(".strip li");
    await page.waitForTimeout(1000);
    await page.screenshot({ path: `${PICTURES}/dashboard-360.png` });
    await done();
  });
});

/** In the page: texts whose contrast is below 4.5. */
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, at) => {
    const part = color[at] / 255;
    return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = rgb(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgb("white");
  };
  const found = [];
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    if (!own || element.closest("[disabled], .unseen, .skip, kbd, noscript, option") || !element.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.className} ${element.textContent.slice(0, 40)}`);
  }
  return found;
}
