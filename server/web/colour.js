// @ts-check
// What colour a frame has: its band says whose code it is, its shade tells neighbours apart. The same function has the
// same colour everywhere.

/** Lightness, step, chroma, first and last hue (OKLCH), light and dark. */
const BANDS = {
  app: [[0.845, 0.028, 0.105, 56, 82], [0.525, 0.027, 0.112, 44, 66]],
  library: [[0.880, 0.019, 0.055, 232, 262], [0.410, 0.021, 0.062, 232, 262]],
  native: [[0.805, 0.019, 0.066, 164, 190], [0.485, 0.018, 0.060, 164, 190]],
};

/** @typedef {import("./tree.js").Func} Func */

/** @param {Func} func @returns {keyof typeof BANDS} */
export function band(func) {
  if (func.inApp) return "app";
  return func.package ? "native" : "library";
}

/** FNV-1a over UTF-8, mixed so that the low bits differ. @param {string} text */
function hash(text) {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

/** @param {Func} func @param {boolean} dark @returns {string} a CSS colour */
export function fill(func, dark) {
  const [lightness, step, chroma, from, to] = BANDS[band(func)][dark ? 1 : 0];
  const h = hash((func.package ?? "") + func.name);
  const hue = from + (to - from) * (h & 7) / 7;
  return `oklch(${lightness + step * ((h >>> 3) % 3 - 1)} ${chroma} ${hue})`;
}
