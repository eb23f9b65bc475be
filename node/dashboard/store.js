// What is known of the node, in one place, and who wants to hear of changes.
// Changes are told once for each frame. It asks nobody for anything.

/** Entries kept of those that came while the page was open. */
export const ARRIVALS_MAX = 10_000;
/** Jobs kept. */
const JOBS_MAX = 256;

/**
 * @typedef {object} State
 * @property {"starting" | "live" | "polling" | "lost"} connection
 * @property {any} status StatusView, or null before the first
 * @property {any[]} peers PeerView
 * @property {any[]} jobs RunView, newest first
 * @property {boolean} hasJobs whether the node tells of jobs
 * @property {any[]} entries EntryView, in the order in which they came
 * @property {number} entriesVersion counts changes of `entries`
 * @property {any} chain ChainView, or null
 * @property {string} trouble why there is no answer, in the node's words or ours
 * @property {number} clockOffsetMs the node's clock less ours
 */

/** @type {State} */
export const state = {
  connection: "starting",
  status: null,
  peers: [],
  jobs: [],
  hasJobs: false,
  entries: [],
  entriesVersion: 0,
  chain: null,
  trouble: "",
  clockOffsetMs: 0,
};

/** @type {Set<() => void>} */
const listeners = new Set();
let isScheduled = false;

/** Tells listeners of a change in the next frame. */
export function changed() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    for (const listener of listeners) listener();
  });
}

/** @param {() => void} listener @returns {() => void} ends it */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The node's clock, milliseconds since 1970. */
export const now = () => Date.now() + state.clockOffsetMs;

/** @param {any} status */
export function setStatus(status) {
  state.status = status;
  if (status.chain) state.chain = status.chain;
  changed();
}

/** @param {any[]} peers */
export function setPeers(peers) {
  state.peers = peers;
  changed();
}

/** @param {any} job */
export function setJob(job) {
  const jobs = state.jobs.filter((one) => one.job !== job.job);
  const at = jobs.findIndex((one) => one.started_ms <= job.started_ms);
  jobs.splice(at < 0 ? jobs.length : at, 0, job);
  state.jobs = jobs.slice(0, JOBS_MAX);
  state.hasJobs = true;
  changed();
}

/** @param {any[]} entries those that came, oldest first @param {any} [chain] */
export function addEntries(entries, chain) {
  for (const entry of entries) state.entries.push(entry);
  // Cut rarely, so that a stream does not copy the list each time.
  if (state.entries.length > ARRIVALS_MAX + 1000) {
    state.entries.splice(0, state.entries.length - ARRIVALS_MAX);
  }
  state.entriesVersion += 1;
  if (chain) {
    state.chain = chain;
  }
  changed();
}

/** @param {any} full the answer of /api/v1/state */
export function setAll(full) {
  state.status = full.status;
  state.peers = full.peers;
  state.jobs = full.jobs ?? [];
  state.hasJobs = full.jobs !== undefined;
  state.chain = full.status.chain;
  if (full.now_ms) state.clockOffsetMs = full.now_ms - Date.now();
  changed();
}

/** @param {State["connection"]} connection @param {string} [trouble] why, where it is lost */
export function setConnection(connection, trouble = "") {
  if (state.connection === connection && state.trouble === trouble) return;
  state.connection = connection;
  state.trouble = trouble;
  changed();
}
