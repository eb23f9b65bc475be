// JSON whose integers keep all their digits: those beyond 2^53 become BigInt.
// It does not judge shapes.

/** A long integer where a value may stand; digits of an id are not at its start. */
const LONG_INTEGER = /[:,[]\s*-?\d{16}/;
const PIECES = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const INTEGER = /^-?\d+$/;
/** Marks an integer that travels as a string; random, so that no text has it. */
const MARK = `integer-${Math.random().toString(36).slice(2)}:`;

/** @typedef {(key: string, value: any, context?: {source: string}) => any} Reviver */

const hasSource = (() => {
  let seen = false;
  /** @type {Reviver} */
  const look = (_key, value, context) => {
    seen = context !== undefined && context.source === "1";
    return value;
  };
  JSON.parse("1", look);
  return seen;
})();

/** @param {string} digits */
const isUnsafe = (digits) => INTEGER.test(digits) && !Number.isSafeInteger(Number(digits));

/** @type {Reviver} */
const revive = (_key, value, context) =>
  typeof value === "number" && context && isUnsafe(context.source) ? BigInt(context.source) : value;

/**
 * Parses without the engine's help: long integers are set in quotes first.
 * @param {string} text
 */
export function parseByHand(text) {
  const quoted = text.replace(PIECES, (piece) =>
    piece[0] !== '"' && isUnsafe(piece) ? `"${MARK}${piece}"` : piece);
  return JSON.parse(quoted, (_key, value) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value);
}

/**
 * Parses JSON. Throws a SyntaxError as JSON.parse does.
 * @param {string} text
 * @returns {any}
 */
export function parse(text) {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text);
  if (!hasSource) return parseByHand(text);
  return JSON.parse(text, revive);
}

/**
 * The reverse: BigInt as an integer with all its digits.
 * @param {any} value
 * @param {number} [indent] spaces
 */
export function print(value, indent) {
  const quoted = JSON.stringify(value, (_key, part) =>
    typeof part === "bigint" ? `${MARK}${part}` : part, indent);
  return quoted.replace(new RegExp(`"${MARK}(-?\\d+)"`, "g"), "$1");
}
