// Amounts of µGFT as text and as parts of each other, in exact integers.

/** µGFT in one GFT. */
const UNIT = 1_000_000n;
const GROUP = "\u202f";

/** @typedef {number | bigint} Amount whole µGFT */

/** @param {Amount | null | undefined} amount */
export const big = (amount) => BigInt(amount ?? 0);

/**
 * An amount in GFT with its six decimals.
 * @param {Amount | null | undefined} amount
 */
export function gft(amount) {
  const value = big(amount);
  const size = value < 0n ? -value : value;
  const whole = (size / UNIT).toString().replace(/\B(?=(\d{3})+$)/g, GROUP);
  const rest = (size % UNIT).toString().padStart(6, "0");
  return `${value < 0n ? "−" : ""}${whole}.${rest}`;
}

/** The same with a sign in front of what is above zero. @param {Amount} amount */
export const signedGft = (amount) => (big(amount) > 0n ? `+${gft(amount)}` : gft(amount));

/** @param {(Amount | null | undefined)[]} amounts @returns {bigint} */
export const sum = (amounts) => amounts.map(big).reduce((total, one) => total + one, 0n);

/**
 * A part of a whole, 0 to 1, for drawing.
 * @param {Amount | null | undefined} part
 * @param {Amount | null | undefined} whole
 */
export function ratio(part, whole) {
  if (big(whole) <= 0n || big(part) <= 0n) return 0;
  return Math.min(1, Number((big(part) * 10_000n) / big(whole)) / 10_000);
}

/** A factor of parts per million as a decimal. @param {Amount} ppm */
export function factor(ppm) {
  const value = big(ppm);
  return `${value / UNIT}.${(value % UNIT).toString().padStart(6, "0")}`;
}

/** A text of the node with its amounts in GFT. @param {string} text */
export const inGft = (text) => text.replace(/(\d+) µGFT/g, (_, digits) => `${gft(BigInt(digits))} GFT`);
