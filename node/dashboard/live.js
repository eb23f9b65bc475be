// Keeps the store in step with the node: the whole state once, then events.
// A node without them is asked again and again. It draws nothing.

import { get, Refusal } from "./api.js";
import { parse } from "./json.js";
import { addEntries, setAll, setConnection, setJob, setPeers, setStatus, state } from "./store.js";

const POLL_MS = 1500;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 8000;
/** Entries shown before the first one arrives. */
const FIRST_ENTRIES = 50;

/** A page that nobody has seen for so long gives its connection back: a browser
 * has six for each address, however many tabs. */
const HIDDEN_MS = 30_000;

/** @type {EventSource | null} */
let source = null;
let cursor = "";
let retryMs = RETRY_MIN_MS;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiddenTimer;
/** How to go on when the page is seen again. @type {(() => void) | null} */
let wake = null;
/** The next arrival to ask a node without events for. @type {number | null} */
let nextArrival = null;

/** @param {() => void} step @param {number} ms */
function later(step, ms) {
  clearTimeout(timer);
  timer = setTimeout(step, ms);
}

/** @param {unknown} error */
function retry(error) {
  setConnection("lost", error instanceof Refusal && error.status ? error.message : "");
  later(begin, retryMs);
  retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
}

/** @param {MessageEvent} event @param {(data: any) => void} use */
function take(event, use) {
  if (event.lastEventId) cursor = event.lastEventId;
  use(parse(event.data));
}

function follow() {
  source?.close();
  const own = new EventSource(`/api/v1/events?after=${encodeURIComponent(cursor)}`);
  source = own;
  /** @param {string} name @param {(data: any) => void} use */
  const on = (name, use) => own.addEventListener(name, (event) => take(/** @type {MessageEvent} */ (event), use));
  own.onopen = () => {
    retryMs = RETRY_MIN_MS;
    setConnection("live");
  };
  on("status", setStatus);
  on("peers", (data) => setPeers(data.peers));
  on("entries", (data) => addEntries(data.entries, data.chain));
  on("job", setJob);
  on("reset", () => {
    own.close();
    // What came meanwhile is not known one by one: the newest are read again.
    state.entries = [];
    begin();
  });
  own.onerror = () => {
    if (own !== source) return;
    // Our own retries: they resume at the cursor, and wait longer each time.
    own.close();
    source = null;
    setConnection("lost");
    later(resume, retryMs);
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
  };
}

/** Goes on at the cursor; when the node is another one it sends `reset`. */
async function resume() {
  try {
    setStatus(await get("/api/v1/status"));
    follow();
  } catch (error) {
    setConnection("lost", error instanceof Refusal && error.status ? error.message : "");
    later(resume, retryMs);
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
  }
}

async function poll() {
  try {
    const [status, peers] = await Promise.all([get("/api/v1/status"), get("/api/v1/peers")]);
    const from = nextArrival === null ? "" : `?from=${nextArrival}`;
    const arrivals = await get(`/api/v1/ledger/arrivals${from}`);
    nextArrival = arrivals.next;
    setStatus(status);
    setPeers(peers.peers);
    if (arrivals.entries.length) addEntries(arrivals.entries, arrivals.chain);
    retryMs = RETRY_MIN_MS;
    setConnection("polling");
    later(poll, POLL_MS);
  } catch (error) {
    setConnection("lost", error instanceof Refusal && error.status ? error.message : "");
    later(poll, retryMs);
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
  }
}

async function firstEntries() {
  if (state.entries.length) return;
  const page = await get(`/api/v1/ledger/entries?count=${FIRST_ENTRIES}`);
  if (state.entries.length === 0) addEntries(page.entries, page.chain);
}

function sleep() {
  const isFollowing = source !== null;
  source?.close();
  source = null;
  clearTimeout(timer);
  wake = isFollowing ? resume : state.connection === "polling" ? poll : begin;
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.visibilityState === "hidden") hiddenTimer = setTimeout(sleep, HIDDEN_MS);
  else if (wake) {
    const step = wake;
    wake = null;
    step();
  }
});

/** Reads the whole state, then follows the events. */
export async function begin() {
  try {
    const full = await get("/api/v1/state");
    cursor = String(full.cursor);
    setAll(full);
    await firstEntries();
    follow();
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) {
      await firstEntries().catch(() => {});
      poll();
    } else retry(error);
  }
}
