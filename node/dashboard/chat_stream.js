// One streamed answer of /v1/chat/completions, read as it comes. It draws
// nothing and keeps nothing.

import { send, Refusal } from "./api.js";
import { parse } from "./json.js";

/**
 * @typedef {object} Receipt
 * @property {string} job id, "" where the node gave none
 * @property {number} promptTokens @property {number} completionTokens
 * @property {any} spent µGFT, null while unknown
 * @property {any[]} route stages
 * @property {string} finish `stop`, `length`, or "" while unknown
 */

/** @param {string} block lines of one event @returns {string | null} its data */
export function dataOf(block) {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.length ? lines.map((line) => line.slice(5).trimStart()).join("\n") : null;
}

/** @param {Response} response @param {(data: string) => void} take */
async function events(response, take) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = dataOf(block);
      if (data !== null) take(data);
    }
    if (done) return;
  }
}

/**
 * Asks and follows the answer. Throws a Refusal when it does not come whole.
 * @param {{model: string, messages: any[], maxTokens: number | null, temperature: number}} wish
 * @param {AbortSignal} signal
 * @param {(text: string, receipt: Receipt) => void} progress
 * @returns {Promise<Receipt>}
 */
export async function answer({ model, messages, maxTokens, temperature }, signal, progress) {
  const response = await send("/v1/chat/completions", {
    model, messages, temperature, stream: true,
    ...(maxTokens ? { max_completion_tokens: maxTokens } : {}),
    stream_options: { include_usage: true, continuous_usage_stats: true },
  }, signal);
  /** @type {Receipt} */
  const receipt = { job: response.headers.get("x-talkoot-job") ?? "", promptTokens: 0, completionTokens: 0, spent: null, route: [], finish: "" };
  let isWhole = false;
  progress("", receipt);
  await events(response, (data) => {
    if (data === "[DONE]") {
      isWhole = true;
      return;
    }
    const chunk = parse(data);
    if (chunk.error) throw new Refusal(500, chunk.error.code ?? "", chunk.error.message);
    if (chunk.usage) {
      receipt.promptTokens = chunk.usage.prompt_tokens;
      receipt.completionTokens = chunk.usage.completion_tokens;
      if (chunk.usage.credits) receipt.spent = chunk.usage.credits.spent;
    }
    if (chunk.talkoot) {
      receipt.job = chunk.talkoot.job;
      receipt.route = chunk.talkoot.route;
    }
    const choice = chunk.choices?.[0];
    if (choice?.finish_reason) receipt.finish = choice.finish_reason;
    progress(choice?.delta?.content ?? "", receipt);
  });
  if (!isWhole) throw new Refusal(0, "cut", "the connection ended before the answer did");
  return receipt;
}
