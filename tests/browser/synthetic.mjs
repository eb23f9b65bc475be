// A node that is none: it serves the dashboard's files and makes up a network
// of any size, so that size, loss and emptiness can be tried at will.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";

const FILES = new URL("../../node/dashboard/", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const LAYERS = 64;
/** As node/src/http/dashboard.rs sends it. */
const POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** 64 digits that are the same for the same number. */
export const id = (number, salt = 1) => Array.from({ length: 8 }, (_, at) =>
  (Math.imul(number + 1, 2654435761 + at * 40503 * salt) >>> 0).toString(16).padStart(8, "0")).join("");

const model = (coverage) => ({
  id: id(7, 9), name: "large", layers: LAYERS, dtype: "bf16", context: 4096, coverage, price_ugft_per_token: 3538, local: false,
});

export function peer(number) {
  const first = (number * 4) % LAYERS;
  return {
    wallet: id(number), peer_id: `12D3Koo${number}`, address: `/ip4/10.0.${number >> 8}.${number & 255}/udp/7470/quic-v1`,
    rtt_us: 400 + ((number * 7919) % 90_000), software: "0.1.0", marks: number % 41 === 40 ? 2 : 0, last_mark: number % 41 === 40 ? "late frontier" : null,
    label: number % 9 === 0 ? `box-${number}` : null, is_relayed: number % 5 === 0, direction: number % 2 ? "inbound" : "outbound",
    serving: [{ model: id(7, 9), name: "large", layers: [first, first + 4], layers_total: LAYERS, layers_per_second: 900 + number, bytes: 1 << 30 }],
  };
}

export function status(more = {}) {
  const wallet = id(100_000);
  return {
    schema: 1, version: "0.1.0", wallet, peer_id: "12D3KooOwn", network: "synthetic", network_id: id(1, 3), ready: true, reasons: [], peers: 0,
    serving: [], loading: null, instruction_set: "avx2", threads: 2, models: [model(Array(LAYERS).fill(2))],
    balance: { wallet, balance_ugft: 9_007_199_254_740_993n, available_ugft: 5_000_000, held_ugft: 0, pending_ugft: 0, line_ugft: 1_000_000 },
    chain: { length: 0, tip: id(0, 5) }, books: { wallets: 1, forked_wallets: 0 },
    sync: { catching_up: false, to_fetch: 0, fetched: 0, peers: 0, entries_per_second: 0 }, signing: "active", accounting: true, pricing: "flops",
    addresses: ["/ip4/127.0.0.1/tcp/7470"], data_addresses: [], uptime_ms: 1000, paused: null, neighbours: [], ...more,
  };
}

export function entry(number) {
  const author = id(number % 200);
  return {
    schema: 1, id: id(number, 2), index: number, link_before: id(number - 1, 5), link: id(number, 5), effect_hash: id(number, 6), author, seq: number,
    prev: null, refs: [], lamport: number, time_ms: 1_795_000_000_000 + number * 100, names: [], kind: number % 3 ? "frontier" : "witness", job: id(number >> 4, 8),
    summary: `${author.slice(0, 8)} reached 16 prompt and ${number % 500} completion tokens and earns ${number} µGFT`, effect: number % 97 ? "ok" : "too little is available",
    outcome: { name: number % 97 ? "noted" : "inert", why: "too little is available", reason: 5 }, confirmed: number % 4 !== 0, confirmed_by: [], fields: {},
  };
}

export function job(number, tokens = 0, state = "answering") {
  return {
    job: id(number, 8), request_id: `req-${number}`, role: number % 2 ? "asker" : "worker", model: id(7, 9), model_name: "large", state, error: null,
    started_ms: 1_795_000_000_000 + number, ended_ms: state === "done" ? 1_795_000_100_000 : null, prompt_tokens: 16, prompt_done: 16, completion_tokens: tokens,
    acked_tokens: Math.max(0, tokens - 16), completion_tokens_max: 512, held_ugft: 1_868_063, burned_ugft: tokens * 3538, earned_ugft: tokens * 800, commons_ugft: 0,
    price_ugft_per_token: 3538, tokens_per_second: 31.4, time_to_first_token_us: 90_000,
    stages: [0, 1, 2, 3].map((at) => ({ peer: id(at), layers: [at * 16, at * 16 + 16], compute_us_per_token: 900, hop_us_per_token: 400, earned_ugft: 1 })),
  };
}

const text = (value) => JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `#${part}` : part)).replace(/"#(-?\d+)"/g, "$1");

/**
 * Starts one. `world` may be changed while it runs: `status`, `peers`, `jobs`,
 * `entries` (how many there are), `hasEvents`, `isUp`, `answers` (by path),
 * `handle` (says whether it took a request).
 */
export async function serve(world) {
  const streams = new Set();
  const log = [];
  const asked = [];
  let cursor = 0;
  const page = (query) => {
    const count = Math.min(1000, Number(query.get("count") ?? 100));
    const before = Number(query.get("before") ?? world.entries);
    const from = Math.max(0, before - count);
    const entries = Array.from({ length: before - from }, (_, at) => entry(from + at));
    return { schema: 1, entries, from, before, chain: world.status.chain };
  };
  const answers = {
    "/api/v1/status": () => world.status,
    "/api/v1/peers": () => ({ schema: 1, peers: world.peers }),
    "/api/v1/ledger/entries": page,
    "/api/v1/ledger/arrivals": (query) => ({ schema: 1, entries: [], next: Number(query.get("from") ?? world.entries), chain: world.status.chain }),
    "/api/v1/ledger/forks": () => ({ schema: 1, forks: [], total: 0, authors: 1, chain: world.status.chain }),
    "/api/v1/ledger/balances": () => ({ schema: 1, balances: [], next_after: null, commons_ugft: 0, sum_ugft: 0, chain: world.status.chain }),
    "/api/v1/ledger/earnings": () => ({ schema: 1, wallet: world.status.wallet, bucket_ms: 300_000, earned_total_ugft: 5, burned_total_ugft: 0, chain: world.status.chain,
      buckets: Array.from({ length: 288 }, (_, at) => ({ from_ms: at * 300_000, earned_ugft: at * 1000, burned_ugft: 0, jobs_worked: 1, jobs_asked: 0 })) }),
  };
  if (world.hasEvents !== false) {
    answers["/api/v1/state"] = () => ({ schema: 1, cursor, now_ms: Date.now(), status: world.status, peers: world.peers, jobs: world.jobs });
  }
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    if (world.isUp === false) return request.socket.destroy();
    asked.push(request.url);
    if (world.handle?.(request, response)) return;
    if (pathname === "/api/v1/events" && world.hasEvents !== false) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(": here\n\n");
      const after = Number(request.headers["last-event-id"] ?? searchParams.get("after"));
      for (const line of log) if (line.cursor > after) response.write(line.text);
      streams.add(response);
      return response.on("close", () => streams.delete(response));
    }
    const answer = world.answers?.[pathname] ?? answers[pathname];
    if (answer) {
      response.writeHead(200, { "content-type": "application/json" });
      return response.end(text(answer(searchParams)));
    }
    const name = pathname === "/" ? "index.html" : pathname.replace(/^\/assets\//, "");
    try {
      const body = readFileSync(new URL(name, FILES));
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "text/plain", "content-security-policy": POLICY });
      response.end(body);
    } catch {
      response.writeHead(404, { "content-type": "application/json" });
      response.end('{"error":{"message":"there is nothing here","code":"unknown_url"}}');
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    asked,
    /** Sends an event to whoever follows, and keeps it for who comes back. */
    emit(event, data) {
      cursor += 1;
      const line = { cursor, text: `id: ${cursor}\nevent: ${event}\ndata: ${text(data)}\n\n` };
      log.push(line);
      for (const stream of streams) stream.write(line.text);
      return cursor;
    },
    /** Cuts all streams, as a lost connection does. */
    drop() {
      for (const stream of streams) stream.destroy();
    },
    streams: () => streams.size,
    async stop() {
      this.drop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
