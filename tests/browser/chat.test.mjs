// The chat: a price before, tokens while, a receipt after that is the ledger's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, launch, NODE, open, until } from "./page.mjs";

const QUESTION = "Tell me a story about a fox who lost a drum.";

/** A body of events, as the node streams them. */
const events = (chunks) => chunks.map((chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`).join("");
const answering = (status, headers, body) => (page) =>
  page.route("**/v1/chat/completions", (route) => route.fulfill({ status, headers, body }));

async function say(page, text) {
  await page.waitForSelector("#say");
  await page.fill("#say", text);
  await page.keyboard.press("Enter");
}

describe("chat", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());

  test("a quote stands before the question, and its bound holds", async () => {
    const { page, done } = await open(browser, NODE, "chat");
    await page.waitForSelector("#say");
    await page.fill("#limit", "40");
    await page.fill("#say", QUESTION);
    await page.waitForSelector("[data-cap]");
    await page.waitForFunction(() => document.querySelector("[data-cap]").textContent.includes("+ 40 tokens"));
    const cap = Number(await page.getAttribute("[data-cap]", "data-cap"));
    const counted = await ask("/tokenize", { model: "demo", messages: [{ role: "user", content: QUESTION }] });
    const quote = await ask("/api/v1/ledger/quote", { model: "demo", prompt_tokens: counted.count, completion_tokens_max: 40 });
    assert.equal(cap, quote.cap_ugft);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-receipt=done] [data-job]");
    assert.ok(Number(await page.getAttribute("[data-spent]", "data-spent")) <= cap);
    await done();
  });

  test("the receipt is what the ledger has", async () => {
    const { page, done } = await open(browser, NODE, "chat");
    await say(page, QUESTION);
    await page.waitForSelector("[data-receipt=done] [data-job]");
    const job = await page.getAttribute("[data-job]", "data-job");
    const spent = Number(await page.getAttribute("[data-spent]", "data-spent"));
    const bill = await until("settled", () => ask(`/api/v1/ledger/jobs/${job}`), (view) => view.state === "done");
    assert.equal(spent, bill.burned_ugft);
    const chips = await page.locator(".receipt .chip a").evaluateAll((all) => all.map((one) => one.title));
    assert.deepEqual(chips, bill.stages.map((stage) => stage.worker));
    const text = await page.locator(".turn.assistant .said").textContent();
    assert.ok(text.length > 40, text);
    await page.locator("[data-job]").click();
    await page.waitForSelector(`h1:has-text("acknowledged")`);
    await done();
  });

  test("stop stops, says so, and the text stays", async () => {
    // An answer that does not end by itself, or it might before the button is found.
    const { stop_token_ids: ends } = await ask("/tokenizer_info");
    const endless = (route) => route.continue({ postData: JSON.stringify({
      ...route.request().postDataJSON(), logit_bias: Object.fromEntries(ends.map((id) => [id, -100])),
    }) });
    const { page, done } = await open(browser, NODE, "chat", { before: (shown) => shown.route("**/v1/chat/completions", endless) });
    await page.waitForSelector("#say");
    await page.fill("#temperature", "1.5");
    await page.fill("#limit", "900");
    await say(page, QUESTION);
    await page.waitForFunction(() => (document.querySelector(".turn.assistant .said")?.textContent.length ?? 0) > 20);
    await page.locator("button", { hasText: "stop" }).click();
    await page.waitForSelector("text=What was acknowledged until then stays paid");
    assert.ok((await page.locator(".turn.assistant .said").textContent()).length > 20);
    await page.waitForSelector("button:has-text('ask')");
    await done();
  });

  test("the conversation survives a reload, and not the tab", async () => {
    const { page, done } = await open(browser, NODE, "chat");
    await page.waitForSelector("#say");
    await page.fill("#limit", "8");
    await say(page, "<b>Hello</b>");
    await page.waitForSelector("[data-receipt=done] [data-job]");
    await page.reload();
    await page.waitForSelector(".turn.assistant");
    assert.equal(await page.locator(".turn.user .said").textContent(), "<b>Hello</b>", "text is text");
    assert.equal(await page.locator(".turn b b").count(), 0);
    await page.locator("button", { hasText: "begin anew" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".turn").length === 0);
    await done();
    const other = await open(browser, NODE, "chat");
    await other.page.waitForSelector("#say");
    assert.equal(await other.page.locator(".turn").count(), 0);
    await other.done();
  });

  const failures = {
    "too little money": [402, { error: { message: "the answer may cost 9 GFT and 1 is available", code: "insufficient_credits" } }, "may cost 9 GFT", "talkoot credits"],
    "no route": [503, { error: { message: "layers 2..4 are served by nobody", code: "no_route" } }, "served by nobody", "talkoot peers"],
    "nonsense": [500, "<html>", "the node answered 500", null],
  };
  for (const [what, [status, body, words, cure]] of Object.entries(failures)) {
    test(`${what} is said in words, with what to do`, async () => {
      const { page, done } = await open(browser, NODE, "chat", {
        allowed: [`${status}`],
        before: answering(status, { "content-type": "application/json" }, typeof body === "string" ? body : JSON.stringify(body)),
      });
      await say(page, QUESTION);
      await page.waitForSelector(`.trouble:has-text("${words}")`);
      if (cure) assert.equal(await page.locator(".trouble code").textContent(), cure);
      await done();
    });
  }

  test("a question that failed is not asked again with the next", async () => {
    const asked = [];
    const { page, done } = await open(browser, NODE, "chat", {
      allowed: ["503"],
      before: (shown) => shown.route("**/v1/chat/completions", (route) => {
        asked.push(route.request().postDataJSON().messages);
        if (asked.length > 1) return route.continue();
        return route.fulfill({ status: 503, contentType: "application/json", body: '{"error":{"message":"all are busy","code":"busy"}}' });
      }),
    });
    await say(page, "One");
    await page.waitForSelector('.trouble:has-text("all are busy")');
    await page.fill("#limit", "8");
    await say(page, QUESTION);
    await page.waitForSelector("[data-receipt=done] [data-job]");
    assert.deepEqual(asked[1], [{ role: "user", content: QUESTION }]);
    await done();
  });

  const piece = (content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }], usage: { prompt_tokens: 3, completion_tokens: 1 } });
  const stream = { "content-type": "text/event-stream", "x-talkoot-job": "ab".repeat(32) };
  test("a lost stage in the middle is an error, and what came stays", async () => {
    const body = events([piece("Once upon"), { error: { message: "worker 7e1b was lost", code: "stage_failed" } }]);
    const { page, done } = await open(browser, NODE, "chat", { before: answering(200, stream, body) });
    await say(page, QUESTION);
    await page.waitForSelector('.trouble:has-text("was lost")');
    assert.equal(await page.locator(".turn.assistant .said").textContent(), "Once upon");
    await done();
  });

  test("a stream that just ends is no answer", async () => {
    const { page, done } = await open(browser, NODE, "chat", { before: answering(200, stream, events([piece("Once")])) });
    await say(page, QUESTION);
    await page.waitForSelector('.trouble:has-text("ended before the answer did")');
    await done();
  });
});
