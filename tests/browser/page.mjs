// What the browser checks share: Chromium, and a page whose every request and
// every error is noted. Nothing but the node can be reached from it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// scripts/browser.py installs it there, out of the sources.
const PLACE = new URL("../../target/browser/package.json", import.meta.url);
const { chromium } = createRequire(PLACE)("playwright-core");

const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** The node under test, by its URL. */
export const NODE = process.env.TALKOOT_URL ?? "";
/** A node that lends layers to it, where one is known. */
export const WORKER = process.env.TALKOOT_WORKER_URL ?? "";
/** Where pictures go; none are made without it. */
export const PICTURES = process.env.TALKOOT_SCREENSHOTS ?? "";

export const launch = () => chromium.launch({
  executablePath: process.env.TALKOOT_CHROMIUM ?? "/usr/bin/chromium", args: ARGS,
});

/**
 * A page on a view. `done()` fails when anything was said on the console or
 * asked of another than the node, and closes it.
 */
export async function open(browser, base, view, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options.context });
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  const allowed = options.allowed ?? [];
  page.on("pageerror", (error) => complaints.push(error.stack ?? String(error)));
  page.on("console", (message) => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !allowed.some((part) => text.includes(part))) complaints.push(text);
  });
  page.on("request", (request) => requests.push(request.url()));
  await context.route((url) => url.origin !== new URL(base).origin && url.protocol !== "blob:", (route) => route.abort());
  await options.before?.(page);
  await page.goto(`${base}/#/${view}`);
  return {
    page,
    requests,
    async done() {
      assert.deepEqual(complaints, []);
      const foreign = requests.filter((url) => !url.startsWith(base) && !url.startsWith("blob:"));
      assert.deepEqual(foreign, []);
      await context.close();
    },
  };
}

/** A question to the node, past the page. */
export async function ask(path, body, base = NODE) {
  const init = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : undefined;
  const response = await fetch(base + path, init);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Waits until a question has an answer that is wanted. */
export async function until(what, ask, isWanted, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms; last ${JSON.stringify(answer).slice(0, 300)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** One answer, so that there are a job and entries. @returns its job's id */
export async function makeJob(tokens = 64, temperature = 0) {
  const answer = await ask("/v1/chat/completions", {
    model: "demo", temperature, max_tokens: tokens, messages: [{ role: "user", content: "Tell me a story about a fox." }],
  });
  return answer.talkoot.job;
}

/** How far the page is wider than its window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
