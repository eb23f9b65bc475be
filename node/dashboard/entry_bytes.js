// The signed bytes of a ledger entry: cut into parts, and everything that can
// be computed again from them (docs/LEDGER.md 1 and 3). Nothing here is taken
// from the node but what is passed in.

import { derive } from "./blake3.js";
import { big } from "./amounts.js";

const KINDS = ["", "admit", "reserve", "frontier", "witness", "equivocation", "model", "release"];
const EFFECT_TAGS = ["inert", "noted", "admitted", "reserved", "paid", "released"];
const SIGN_CONTEXT = "talkoot/1 sign ledger entry";

/** @param {string} text @returns {Uint8Array} */
export function fromHex(text) {
  if (text.length % 2 || /[^0-9a-f]/i.test(text)) throw new Error("not hexadecimal");
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** @param {Uint8Array} bytes */
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {Uint8Array} bytes little-endian */
function integer(bytes) {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i -= 1) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

/** @param {...Uint8Array} parts */
function join(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Cuts signed bytes into their parts. Throws when they are no entry's.
 * @param {Uint8Array} bytes
 * @returns {{name: string, offset: number, bytes: Uint8Array}[]}
 */
export function parts(bytes) {
  /** @type {{name: string, offset: number, bytes: Uint8Array}[]} */
  const found = [];
  let at = 0;
  /** @param {string} name @param {number} length */
  const take = (name, length) => {
    if (at + length > bytes.length) throw new Error(`the bytes end within ${name}`);
    const part = { name, offset: at, bytes: bytes.subarray(at, at + length) };
    at += length;
    if (length > 0) found.push(part);
    return part.bytes;
  };
  /** @param {string} name @param {string} counted @param {number} item */
  const list = (name, counted, item) => {
    const length = integer(take(counted, 8)) * BigInt(item);
    if (length > BigInt(bytes.length)) throw new Error(`${counted} is too large`);
    take(name, Number(length));
  };
  take("body length", 8);
  take("network", 32);
  take("author", 32);
  take("seq", 8);
  take("prev", 32);
  list("refs", "refs count", 32);
  take("lamport", 8);
  take("time_ms", 8);
  list("names", "names count", 32);
  take("kind", 2);
  list("payload", "payload length", 1);
  take("signature", 64);
  if (at !== bytes.length) throw new Error("bytes follow the signature");
  if (integer(bytes.subarray(0, 8)) !== BigInt(bytes.length - 72)) throw new Error("the body length is wrong");
  return found;
}

/** The id of signed bytes: the hash of the body. @param {Uint8Array} bytes */
export const idOf = (bytes) => derive("talkoot/1 ledger entry", bytes.subarray(8, bytes.length - 64));

/** @param {Uint8Array} before @param {Uint8Array} id @param {Uint8Array} effect */
export const linkOf = (before, id, effect) => derive("talkoot/1 chain link", join(before, id, effect));

/**
 * The digest of what an entry came to.
 * @param {any} outcome as the API gives it
 */
export function effectOf(outcome) {
  const bytes = new Uint8Array(53);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, outcome.reason ?? 0, true);
  view.setUint16(2, EFFECT_TAGS.indexOf(outcome.name), true);
  if (outcome.wallet) bytes.set(fromHex(outcome.wallet), 4);
  const first = { admitted: outcome.line_ugft, reserved: outcome.held_ugft, paid: outcome.burned_ugft, released: outcome.freed_ugft };
  view.setBigUint64(36, big(/** @type {any} */ (first)[outcome.name]), true);
  view.setBigUint64(44, big(outcome.name === "paid" ? outcome.earned_ugft : 0), true);
  bytes[52] = outcome.final ? 1 : 0;
  return derive("talkoot/1 entry effect", bytes);
}

/** What is signed. @param {Uint8Array} network @param {Uint8Array} body */
export const messageOf = (network, body) =>
  join(new TextEncoder().encode(SIGN_CONTEXT), new Uint8Array(1), network, derive("talkoot/1 signature", body));

/** @typedef {"agrees" | "differs" | "unknown"} Verdict */

/**
 * @param {Uint8Array} bytes
 * @param {Map<string, Uint8Array>} part
 * @returns {Promise<Verdict>}
 */
async function signatureVerdict(bytes, part) {
  try {
    const author = /** @type {BufferSource} */ (part.get("author"));
    const key = await crypto.subtle.importKey("raw", author, { name: "Ed25519" }, false, ["verify"]);
    const network = /** @type {Uint8Array} */ (part.get("network"));
    const message = messageOf(network, bytes.subarray(8, bytes.length - 64));
    const signature = /** @type {BufferSource} */ (part.get("signature"));
    return (await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message)) ? "agrees" : "differs";
  } catch (error) {
    // A browser without Ed25519 says NotSupported; a key that is no point, Data.
    return error instanceof DOMException && error.name === "DataError" ? "differs" : "unknown";
  }
}

/**
 * @typedef {object} Checks
 * @property {Verdict} id the hash of the body is the id
 * @property {Verdict} fields author, number, kind, time and network are those of the bytes
 * @property {Verdict} effect the digest covers what the entry is said to have come to
 * @property {Verdict} link the link follows from the link before, the id and the effect
 * @property {Verdict} signature the author's
 * @property {string} computedId
 */

/**
 * Computes an entry again.
 * @param {any} entry as the API gives it, with `bytes`
 * @param {string | null} network id, when known
 * @returns {Promise<Checks>}
 */
export async function check(entry, network) {
  /** @param {boolean} isRight @returns {Verdict} */
  const verdict = (isRight) => (isRight ? "agrees" : "differs");
  let bytes;
  let part;
  try {
    bytes = fromHex(entry.bytes ?? "");
    part = new Map(parts(bytes).map((one) => [one.name, one.bytes]));
  } catch {
    return { id: "differs", fields: "differs", effect: "unknown", link: "differs", signature: "differs", computedId: "" };
  }
  const get = (/** @type {string} */ name) => part.get(name) ?? new Uint8Array();
  const id = idOf(bytes);
  const link = linkOf(fromHex(entry.link_before), id, fromHex(entry.effect_hash));
  const kind = KINDS[Number(integer(get("kind")))] ?? "unknown";
  const fields = toHex(get("author")) === entry.author && integer(get("seq")) === big(entry.seq)
    && kind === entry.kind && integer(get("time_ms")) === big(entry.time_ms)
    && integer(get("lamport")) === big(entry.lamport)
    && (network === null || toHex(get("network")) === network);
  return {
    id: verdict(toHex(id) === entry.id),
    fields: verdict(fields),
    effect: verdict(toHex(effectOf(entry.outcome)) === entry.effect_hash),
    link: verdict(toHex(link) === entry.link),
    signature: await signatureVerdict(bytes, part),
    computedId: toHex(id),
  };
}
