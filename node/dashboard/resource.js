// Answers of the node that a page needs, asked for when it is first drawn and
// again when the chain has grown since.

import { get, Refusal } from "./api.js";
import { changed, state } from "./store.js";

/** The soonest that the same question is asked again. */
const AGAIN_MS = 2000;
const KEPT_MAX = 64;

/**
 * @typedef {object} Resource
 * @property {any} value what was answered last, or null
 * @property {Refusal | null} failure why there is no newer answer
 * @property {boolean} isAsked whether an answer is awaited
 * @property {string} tip of the chain when it was asked
 * @property {number} askedMs
 */

/** @type {Map<string, Resource>} */
const kept = new Map();

/** @param {string} path @param {(path: string) => Promise<any>} ask @param {Resource} resource */
async function fetchInto(path, ask, resource) {
  resource.isAsked = true;
  resource.tip = state.chain?.tip ?? "";
  resource.askedMs = Date.now();
  try {
    resource.value = await ask(path);
    resource.failure = null;
  } catch (error) {
    resource.failure = error instanceof Refusal ? error : new Refusal(0, "", String(error));
  }
  resource.isAsked = false;
  changed();
}

/**
 * @param {string} path
 * @param {(path: string) => Promise<any>} [ask]
 * @returns {Resource}
 */
export function resource(path, ask = get) {
  let found = kept.get(path);
  if (!found) {
    found = { value: null, failure: null, isAsked: false, tip: "", askedMs: 0 };
    kept.set(path, found);
    const [oldest] = kept.keys();
    if (kept.size > KEPT_MAX) kept.delete(oldest);
  }
  const isStale = found.askedMs === 0 || found.tip !== (state.chain?.tip ?? "") || found.failure?.status === 0;
  if (!found.isAsked && isStale && Date.now() - found.askedMs > AGAIN_MS) fetchInto(path, ask, found);
  return found;
}
