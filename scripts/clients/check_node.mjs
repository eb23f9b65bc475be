// The official Node client of OpenAI and the AI SDK, against a node whose model
// four workers hold. Usage: node check_node.mjs BASE [--lost openai|ai]

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, streamText } from "ai";
import OpenAI from "openai";

const STORY = "Tell me a story about a fox who lost a drum.";
const MESSAGES = [{ role: "user", content: STORY }];
const [base, mode, which] = process.argv.slice(2);

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const provider = createOpenAICompatible({
  name: "talkoot",
  baseURL: `${base}/v1`,
  supportsStructuredOutputs: true,
});
const model = provider("demo");
const sdk = { model, prompt: STORY, temperature: 0, maxRetries: 0 };

async function endless() {
  const info = await (await fetch(`${base}/tokenizer_info`)).json();
  return { logit_bias: { [info.stop_token_ids[0]]: -100 }, max_tokens: 900 };
}

const checks = {
  async "openai: streamed and whole answers are the same"() {
    const wish = { model: "demo", messages: MESSAGES, temperature: 0, max_tokens: 24 };
    const whole = await client.chat.completions.create(wish);
    let text = "";
    let usage = null;
    const stream_options = { include_usage: true };
    const stream = await client.chat.completions.create({ ...wish, stream: true, stream_options });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(usage.completion_tokens, 24);
  },
  async "openai: several choices and log-probabilities"() {
    const wish = { model: "demo", messages: MESSAGES, n: 2, logprobs: true, top_logprobs: 2 };
    const made = await client.chat.completions.create({ ...wish, max_tokens: 6 });
    assert.equal(made.choices.length, 2);
    assert.equal(made.choices[1].logprobs.content[0].top_logprobs.length, 2);
  },
  async "openai: errors have their classes"() {
    const wish = { messages: MESSAGES, max_tokens: 4 };
    await assert.rejects(
      client.chat.completions.create({ ...wish, model: "none" }),
      OpenAI.NotFoundError,
    );
    const long = [{ role: "user", content: "fox ".repeat(5000) }];
    await assert.rejects(
      client.chat.completions.create({ ...wish, model: "demo", messages: long }),
      (error) => error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded",
    );
  },
  async "openai: a request keeps its name"() {
    const wish = { model: "demo", messages: MESSAGES, max_tokens: 2 };
    const headers = { "x-request-id": "from-node.1" };
    const made = await client.chat.completions.create(wish, { headers });
    assert.equal(made._request_id, "from-node.1");
  },
  async "ai: streamed and whole answers are the same"() {
    const whole = await generateText({ ...sdk, maxOutputTokens: 24 });
    const streamed = streamText({ ...sdk, maxOutputTokens: 24 });
    let text = "";
    for await (const part of streamed.textStream) text += part;
    assert.equal(text, whole.text);
    assert.ok(text.length > 0);
    assert.equal(whole.usage.outputTokens, 24);
  },
  async "ai: answers that follow a schema"() {
    const schema = jsonSchema({
      type: "object",
      properties: {
        kind: { type: "string", enum: ["fox", "owl"] },
        legs: { type: "integer", minimum: 0, maximum: 8 },
      },
      required: ["kind", "legs"],
      additionalProperties: false,
    });
    const { object } = await generateObject({ ...sdk, schema, maxOutputTokens: 60 });
    assert.ok(["fox", "owl"].includes(object.kind) && object.legs <= 8);
  },
  async "ai: an unknown model is an error"() {
    await assert.rejects(generateText({ ...sdk, model: provider("none") }), /none/);
  },
};

async function lostOpenAi() {
  const wish = { model: "demo", messages: MESSAGES, stream: true };
  const stream = await client.chat.completions.create({ ...wish, ...(await endless()) });
  let index = 0;
  for await (const _ of stream) if (index++ === 3) console.log("streaming");
}

async function lostAi() {
  const { logit_bias, max_tokens } = await endless();
  const settings = { ...sdk, maxOutputTokens: max_tokens, onError() {} };
  const providerOptions = { talkoot: { logit_bias } };
  const stream = streamText({ ...settings, providerOptions });
  let index = 0;
  for await (const part of stream.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta" && index++ === 3) console.log("streaming");
  }
}

if (mode === "--lost") {
  // All clients begin together.
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  process.stdin.destroy();
  try {
    await (which === "ai" ? lostAi() : lostOpenAi());
  } catch (error) {
    console.log(`error: ${error.message ?? JSON.stringify(error)}`);
    process.exit(0);
  }
  console.error("the stream ended without an error");
  process.exit(1);
}

let failed = 0;
for (const [name, run] of Object.entries(checks)) {
  try {
    await run();
    console.log(`PASS ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
