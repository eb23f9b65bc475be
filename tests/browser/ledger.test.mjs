// What the ledger's pages compute again, and that they notice a changed byte.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { check, effectOf, fromHex, parts, toHex } from "../../node/dashboard/entry_bytes.js";
import { ask, launch, makeJob, NODE, open, until } from "./page.mjs";

/** @param page @returns the verdicts by name, once all are there; read in one look, since the
 * page computes again whenever the node says something new */
async function verdicts(page) {
  const seen = await page.waitForFunction(() => {
    const all = [...document.querySelectorAll("[data-check]")].map((one) =>
      [one.dataset.check, one.querySelector(".verdict").textContent]);
    return all.length === 5 && all.every(([, verdict]) => verdict !== "…") && Object.fromEntries(all);
  });
  return seen.jsonValue();
}

/** Passes what the node says of an entry through `change`. */
const altered = (change) => async (page) => {
  await page.route("**/api/v1/ledger/entries/*", async (route) => {
    const response = await route.fetch();
    const entry = JSON.parse(await response.text());
    change(entry);
    await route.fulfill({ response, body: JSON.stringify(entry) });
  });
};

/** Another hexadecimal digit at `at` (from the end when below 0). */
function flip(hex, at) {
  const place = at < 0 ? hex.length + at : at;
  return hex.slice(0, place) + (hex[place] === "0" ? "1" : "0") + hex.slice(place + 1);
}

const AGREES = { id: "agrees", fields: "agrees", effect: "agrees", link: "agrees", signature: "agrees" };

describe("ledger", () => {
  let browser;
  let job;
  before(async () => {
    browser = await launch();
    job = await makeJob();
    await until("settled", () => ask(`/api/v1/ledger/jobs/${job}`), (view) => view.state === "done");
  });
  after(() => browser.close());

  test("every entry of the chain is computed again, without the page", async () => {
    const { entries } = await ask("/api/v1/ledger/entries?count=250&bytes=true");
    const { network_id: network } = await ask("/api/v1/status");
    assert.ok(entries.length > 5);
    for (const entry of entries) {
      const verdict = await check(entry, network);
      // Node's own WebCrypto has Ed25519 as the browser's has.
      assert.deepEqual({ ...verdict, computedId: undefined }, { ...AGREES, computedId: undefined }, entry.summary);
      assert.equal(toHex(effectOf(entry.outcome)), entry.effect_hash);
      const bytes = fromHex(entry.bytes);
      assert.equal(parts(bytes).reduce((length, part) => length + part.bytes.length, 0), bytes.length, "every byte has a name");
    }
  });

  test("whatever bytes come, cutting them only throws", () => {
    for (let length = 0; length < 300; length += 1) assert.throws(() => parts(new Uint8Array(length).fill(length)));
  });

  test("an entry agrees in all that it says", async () => {
    const { page, done } = await open(browser, NODE, `ledger/entry/${job}`);
    assert.deepEqual(await verdicts(page), AGREES);
    assert.equal(await page.locator("table", { hasText: "offset" }).locator("tbody tr").last().locator("td").nth(1).textContent(), "signature");
    await done();
  });

  const lies = {
    "a byte of the body": [(entry) => { entry.bytes = flip(entry.bytes, -140); }, ["id", "signature", "link"]],
    "a byte of the signature": [(entry) => { entry.bytes = flip(entry.bytes, -1); }, ["signature"]],
    "another id": [(entry) => { entry.id = flip(entry.id, 0); }, ["id"]],
    "another number": [(entry) => { entry.seq += 1; }, ["fields"]],
    "another amount": [(entry) => { entry.outcome.held_ugft += 1; }, ["effect"]],
    "another link before": [(entry) => { entry.link_before = flip(entry.link_before, 5); }, ["link"]],
    "no bytes": [(entry) => { entry.bytes = ""; }, ["id", "fields", "link", "signature"]],
  };
  for (const [what, [change, wrong]] of Object.entries(lies)) {
    test(`${what} is seen`, async () => {
      const { page, done } = await open(browser, NODE, `ledger/entry/${job}`, { before: altered(change) });
      const verdict = await verdicts(page);
      for (const name of wrong) assert.equal(verdict[name], "differs", `${name}: ${JSON.stringify(verdict)}`);
      await page.waitForSelector("text=something differs");
      await done();
    });
  }

  test("the job page has the node's numbers and their sums", async () => {
    const { page, done } = await open(browser, NODE, `ledger/job/${job}`);
    const view = await ask(`/api/v1/ledger/jobs/${job}`);
    const total = page.locator("tr.total");
    await total.waitFor();
    const gft = (amount) => `${Math.floor(amount / 1e6)}.${String(amount % 1e6).padStart(6, "0")}`;
    assert.equal(await total.locator("td").nth(9).textContent(), gft(view.burned_ugft));
    assert.equal(await total.locator("td").nth(10).textContent(), gft(view.earned_ugft));
    await done();
  });

  test("balances add up to nothing, and a wrong one is noticed", async () => {
    const right = await open(browser, NODE, "ledger/balances");
    await right.page.waitForSelector("text=Added up in this browser: 0");
    await right.done();
    const wrong = await open(browser, NODE, "ledger/balances", {
      before: (page) => page.route("**/api/v1/ledger/balances*", async (route) => {
        const response = await route.fetch();
        const body = JSON.parse(await response.text());
        body.balances[0].balance_ugft += 1;
        await route.fulfill({ response, body: JSON.stringify(body) });
      }),
    });
    await wrong.page.waitForSelector("text=this is not 0");
    await wrong.done();
  });

  test("a search finds by the beginning of an id", async () => {
    const { wallet } = await ask("/api/v1/status");
    // Asking three kinds of thing for one id, two are not found: that is no complaint.
    const { page, done } = await open(browser, NODE, "ledger", { allowed: ["404", "400"] });
    await page.waitForSelector(".entries .row");
    await page.keyboard.press("/");
    await page.keyboard.type(`${job.slice(0, 16)}`);
    await page.keyboard.press("Enter");
    await page.waitForSelector(`a[href="#/ledger/job/${job}"]`);
    await page.waitForSelector(`a[href="#/ledger/entry/${job}"]`);
    await page.fill("#search", wallet.slice(0, 12));
    await page.keyboard.press("Enter");
    await page.waitForSelector(`a[href="#/ledger/wallet/${wallet}"]`);
    await page.fill("#search", "ffffffffffffffffffffffff");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=Nothing held here begins so");
    await page.fill("#search", "<img src=x onerror=alert(1)>");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=An id is 64 digits");
    await done();
  });

  test("filters narrow the list, and the export has what is shown", async () => {
    const { page, done } = await open(browser, NODE, "ledger");
    await page.waitForSelector(".entries .row");
    await page.selectOption("select[aria-label='any kind']", "reserve");
    await page.waitForFunction(() => {
      const kinds = [...document.querySelectorAll(".entries .row")].map((row) => row.children[2].textContent);
      return kinds.length > 0 && kinds.every((kind) => kind === "reserve");
    });
    const download = page.waitForEvent("download");
    await page.locator("button", { hasText: "export JSONL" }).click();
    const stream = await (await download).createReadStream();
    let text = "";
    for await (const part of stream) text += part;
    const lines = text.trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(lines.length > 0 && lines.every((entry) => entry.kind === "reserve" && entry.id.length === 64));
    await done();
  });
});
