// Numbers, times, ids and commands as short text. Pure.

/** @param {string | null | undefined} id */
export const short = (id) => (id ? id.slice(0, 8) : "none");

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A count with its digits in groups. @param {number | bigint} value */
export const count = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A time span. @param {number | null | undefined} us microseconds */
export function span(us) {
  if (us === null || us === undefined || !Number.isFinite(us)) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 9995 ? 2 : us < 99_950 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

/** How long ago or how long. @param {number} ms milliseconds */
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** A moment. @param {number} ms since 1970 */
export const utc = (ms) => `${new Date(ms).toISOString().replace("T", " ").slice(0, 19)} UTC`;

/** The time of day of a moment. @param {number} ms since 1970 */
export const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

/** A range of layers, as the command line writes it. @param {number[]} layers [first, end) */
export const layers = ([first, end]) => `${first}..${end}`;

/** @param {number} size bytes */
export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = Number(size);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number | null | undefined} rate tokens per second */
export const speed = (rate) => (rate ? `${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s` : "–");

/**
 * Ranges of layers that nobody serves.
 * @param {number[]} coverage peers for each layer
 * @returns {[number, number][]} [first, end)
 */
export function gaps(coverage) {
  /** @type {[number, number][]} */
  const found = [];
  coverage.forEach((peers, layer) => {
    if (peers > 0) return;
    const last = found[found.length - 1];
    if (last && last[1] === layer) last[1] = layer + 1;
    else found.push([layer, layer + 1]);
  });
  return found;
}

/** How many complete routes a model has. @param {number[]} coverage */
export const routes = (coverage) => (coverage.length ? Math.min(...coverage) : 0);
