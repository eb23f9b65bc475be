// BLAKE3 (hash and derive-key, 32 bytes out), as its paper describes it.
// Written for entries of some kilobytes; it makes no effort to be fast.

const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;
const DERIVE_KEY_CONTEXT = 32;
const DERIVE_KEY_MATERIAL = 64;
const BLOCK_BYTES = 64;
const CHUNK_BYTES = 1024;
const ROUNDS = 7;

/** @param {Uint32Array} s @param {number} a @param {number} b @param {number} c @param {number} d */
function mix(s, a, b, c, d, x = 0, y = 0) {
  let t;
  s[a] = s[a] + s[b] + x;
  t = s[d] ^ s[a]; s[d] = (t >>> 16) | (t << 16);
  s[c] = s[c] + s[d];
  t = s[b] ^ s[c]; s[b] = (t >>> 12) | (t << 20);
  s[a] = s[a] + s[b] + y;
  t = s[d] ^ s[a]; s[d] = (t >>> 8) | (t << 24);
  s[c] = s[c] + s[d];
  t = s[b] ^ s[c]; s[b] = (t >>> 7) | (t << 25);
}

/**
 * @typedef {object} Output what a node of the tree is compressed from
 * @property {ArrayLike<number>} cv
 * @property {Uint32Array} block
 * @property {number} counter
 * @property {number} length
 * @property {number} flags
 */

/** @param {Output} output @param {number} [more] further flags */
function compress({ cv, block, counter, length, flags }, more = 0) {
  const s = new Uint32Array(16);
  for (let i = 0; i < 8; i += 1) s[i] = cv[i];
  for (let i = 0; i < 4; i += 1) s[8 + i] = IV[i];
  s[12] = counter;
  s[13] = Math.floor(counter / 0x1_0000_0000);
  s[14] = length;
  s[15] = flags | more;
  let m = block;
  for (let round = 0; round < ROUNDS; round += 1) {
    mix(s, 0, 4, 8, 12, m[0], m[1]);
    mix(s, 1, 5, 9, 13, m[2], m[3]);
    mix(s, 2, 6, 10, 14, m[4], m[5]);
    mix(s, 3, 7, 11, 15, m[6], m[7]);
    mix(s, 0, 5, 10, 15, m[8], m[9]);
    mix(s, 1, 6, 11, 12, m[10], m[11]);
    mix(s, 2, 7, 8, 13, m[12], m[13]);
    mix(s, 3, 4, 9, 14, m[14], m[15]);
    const next = new Uint32Array(16);
    for (let i = 0; i < 16; i += 1) next[i] = m[PERMUTATION[i]];
    m = next;
  }
  for (let i = 0; i < 8; i += 1) s[i] ^= s[i + 8];
  return s.subarray(0, 8);
}

/** @param {Uint8Array} bytes at most 64 */
function words(bytes) {
  const padded = new Uint8Array(BLOCK_BYTES);
  padded.set(bytes);
  const view = new DataView(padded.buffer);
  return Uint32Array.from({ length: 16 }, (_, i) => view.getUint32(4 * i, true));
}

/** @param {Uint8Array} chunk @param {ArrayLike<number>} key @param {number} counter @param {number} flags */
function chunkOutput(chunk, key, counter, flags) {
  const blocks = Math.max(1, Math.ceil(chunk.length / BLOCK_BYTES));
  let cv = key;
  for (let i = 0; ; i += 1) {
    const bytes = chunk.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    const isLast = i === blocks - 1;
    const place = (i === 0 ? CHUNK_START : 0) | (isLast ? CHUNK_END : 0);
    const output = { cv, block: words(bytes), counter, length: bytes.length, flags: flags | place };
    if (isLast) return output;
    cv = compress(output);
  }
}

/** @param {ArrayLike<number>} left @param {ArrayLike<number>} right @param {ArrayLike<number>} key @param {number} flags */
function parentOutput(left, right, key, flags) {
  const block = new Uint32Array(16);
  block.set(left, 0);
  block.set(right, 8);
  return { cv: key, block, counter: 0, length: BLOCK_BYTES, flags: flags | PARENT };
}

/** @param {Uint8Array} bytes @param {ArrayLike<number>} key @param {number} flags @param {number} first chunk number @returns {Output} */
function tree(bytes, key, flags, first) {
  if (bytes.length <= CHUNK_BYTES) return chunkOutput(bytes, key, first, flags);
  // The left side has the largest power of two of chunks that leaves some.
  const chunks = Math.ceil(bytes.length / CHUNK_BYTES);
  const left = 2 ** Math.floor(Math.log2(chunks - 1));
  const cut = left * CHUNK_BYTES;
  return parentOutput(
    compress(tree(bytes.subarray(0, cut), key, flags, first)),
    compress(tree(bytes.subarray(cut), key, flags, first + left)),
    key,
    flags,
  );
}

/** @param {Uint8Array} bytes @param {ArrayLike<number>} key @param {number} flags */
function root(bytes, key, flags) {
  const digest = compress(tree(bytes, key, flags, 0), ROOT);
  const out = new Uint8Array(32);
  const view = new DataView(out.buffer);
  digest.forEach((word, i) => view.setUint32(4 * i, word, true));
  return out;
}

/** Plain BLAKE3. @param {Uint8Array} bytes */
export const hash = (bytes) => root(bytes, IV, 0);

/**
 * BLAKE3 in derive-key mode.
 * @param {string} context
 * @param {Uint8Array} bytes
 */
export function derive(context, bytes) {
  const key = words(root(new TextEncoder().encode(context), IV, DERIVE_KEY_CONTEXT));
  return root(bytes, key, DERIVE_KEY_MATERIAL);
}
