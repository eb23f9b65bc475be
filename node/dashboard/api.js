// Questions to the node that served this page, and to nobody else.

import { parse } from "./json.js";

/** What the node, or the way to it, had against a question. */
export class Refusal extends Error {
  /** @param {number} status 0: no answer @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @param {Response} response */
export async function refusal(response) {
  try {
    const { error } = parse(await response.text());
    return new Refusal(response.status, error.code ?? "", error.message);
  } catch {
    return new Refusal(response.status, "", `the node answered ${response.status}`);
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>} one whose status is good
 */
export async function ask(path, init) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "the node does not answer");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** @param {string} path @returns {Promise<any>} */
export const get = async (path) => parse(await (await ask(path)).text());

/** @param {string} path @param {any} body @param {AbortSignal} [signal] */
export const send = (path, body, signal) => ask(path, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

/** @param {string} path @param {any} body @param {AbortSignal} [signal] @returns {Promise<any>} */
export const post = async (path, body, signal) => parse(await (await send(path, body, signal)).text());
