// @ts-check
// What colour a frame has: its band says whose code it is, its shade tells neighbours apart. The same function has the
// same colour everywhere. Swatches are made once a theme; frames have their numbers.

import { mostly, shownState, waiting } from "./states.js";
import { once } from "./tree.js";

/** @typedef {import("./tree.js").Func} Func */
/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {"app" | "library" | "runtime" | "native" | "kernel" | "waiting"} Band */
/** `ink` is that of text on it. @typedef {{fill: string, ink: string}} Swatch */
/** Swatches, which of them each node has, and by node what is drawn over it: 1 a rule along the bottom, 2 a hatch, 3 both.
 *  @typedef {{swatches: Swatch[], of: ArrayLike<number>, sign: ?ArrayLike<number>}} Colours */
/** @typedef {"kind" | "package" | "name" | "state" | "self"} Mode */

/** Lightness, step, chroma, first and last hue (OKLCH), light and dark; then the strong cuts of it for dots and bars.
 *  @type {Record<Band, {words: string, shades: [number, number, number, number, number][], dots: [string, string]}>} */
const BANDS = {
  app: { words: "In-app", shades: [[0.845, 0.028, 0.105, 56, 82], [0.525, 0.027, 0.112, 44, 66]], dots: ["#ce7e2a", "#db8039"] },
  library: { words: "Library", shades: [[0.880, 0.019, 0.055, 232, 262], [0.410, 0.021, 0.062, 232, 262]], dots: ["#6a92b7", "#507ca3"] },
  runtime: { words: "Stdlib, runtime", shades: [[0.925, 0.012, 0.014, 240, 262], [0.365, 0.012, 0.018, 240, 262]], dots: ["#8c959f", "#616c77"] },
  native: { words: "Native library", shades: [[0.805, 0.019, 0.066, 164, 190], [0.485, 0.018, 0.060, 164, 190]], dots: ["#429684", "#589d8d"] },
  kernel: { words: "Kernel", shades: [[0.755, 0.019, 0.070, 318, 342], [0.345, 0.018, 0.075, 318, 342]], dots: ["#976592", "#956190"] },
  waiting: { words: "Waiting", shades: [[0.945, 0, 0.006, 260, 260], [0.270, 0, 0.008, 260, 260]], dots: ["#989ba0", "#4d5055"] },
};
const NAMES = /** @type {Band[]} */ (Object.keys(BANDS));
/** Shades of a band: hues by steps of lightness. */
const HUES = 8, STEPS = 3, SHADES = HUES * STEPS;
const INKS = ["#15181e", "#f4f5f7"];
/** The least contrast of text. */
const READABLE = 4.5;
export const RULE = 1, HATCH = 2;

/** @type {[Mode, string][]} */
export const MODES = [["kind", "Kind"], ["package", "Package"], ["name", "Function name"], ["state", "Thread state"], ["self", "Self time"]];

/** What stands in legends, in order. @param {boolean} isDark @returns {{band: Band, words: string, dot: string, sign: number}[]} */
export const legend = isDark => NAMES.map(band => ({ band, words: BANDS[band].words, dot: dotOf(band, isDark), sign: SIGNS[band] }));

/** @type {Record<Band, number>} */
const SIGNS = { app: 0, library: 0, runtime: 0, native: RULE, kernel: RULE | HATCH, waiting: HATCH };

/** The strong colour of a band. @param {Band} band @param {boolean} isDark @returns {string} a CSS colour */
export const dotOf = (band, isDark) => BANDS[band].dots[isDark ? 1 : 0];

/** @param {Band} band */
export const wordsOf = band => BANDS[band].words;

const KERNEL = /^\[?(kernel|guest\.kernel)\b|(^|\/)vmlinu[xz][^/]*$|\.ko(\.(gz|xz|zst))?$/;
/** The standard libraries of Python, Ruby and Node, what is built into the interpreter, and the JDK's. */
const STDLIB_PATH = /(^|\/)<frozen |\/lib(64)?\/python\d[\d.]*t?\/|\/lib\/ruby\/\d|^node:|^internal\/|^\[internal\]$|^<(native|built-?in|internal)[^>]*>$/;
const PACKAGED = /\/(site|dist)-packages\/|\/gems\//;
const STDLIB_MODULE = /^(node:|(java|javax|jdk|sun|com\.sun)\.)/;
/** Names that an unwinder gives where there is none: an address; a library in place of frames of it. */
const UNNAMED = /^(0x[0-9a-f]+|\[0x[0-9a-f]+\]|.*\+0x[0-9a-f]+|\[unnamed\])$/i;

/** Whose code a function is. @param {Func} func @returns {Exclude<Band, "waiting">} */
export function bandOf({ name, module, package: library, file, path, inApp }) {
  if (library !== null && KERNEL.test(library)) return "kernel";
  if (library === null && isStdlib(module, path ?? file)) return "runtime";
  if (inApp) return "app";
  if (library !== null || UNNAMED.test(name)) return "native";
  return module === null && path === null && file === null ? "runtime" : "library";
}

/** @param {?string} module @param {?string} path */
function isStdlib(module, path) {
  return path !== null && STDLIB_PATH.test(path) && !PACKAGED.test(path) || module !== null && STDLIB_MODULE.test(module);
}

/** Whether it is machine code that was there before it ran: native frames have a library or program. @param {Func} func */
const isNative = func => func.package !== null || bandOf(func) === "native";

/** Whether nobody knows what it is called. @param {Func} func */
export const isUnnamed = func => UNNAMED.test(func.name);

/** By function. */
export const unnamed = once((/** @type {Func[]} */ functions) => Uint8Array.from(functions, func => isUnnamed(func) ? 1 : 0));

/** What a frame is labelled: without a name, where it lies. @param {Func} func */
export function labelOf(func) {
  return isUnnamed(func) && func.package !== null && !func.name.includes("+") ? `${func.name} in ${func.package.slice(func.package.lastIndexOf("/") + 1)}` : func.name;
}

/** Longer names are cut: nobody reads them on one line. */
const NAME_MAX = 200;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A name that does as it is told: no control characters, nothing that turns the line round. @param {string} text */
export const clean = text => text.slice(0, NAME_MAX).replace(CONTROLS, "\ufffd");

const utf8 = new TextEncoder();

/** FNV-1a over UTF-8, mixed so that the low bits differ. @param {string} text */
function hash(text) {
  let h = 0x811c9dc5, at = 0;
  // Letters below 128 are their own bytes: most names need no encoder.
  for (; at < text.length && text.charCodeAt(at) < 128; at++) h = Math.imul(h ^ text.charCodeAt(at), 0x01000193);
  if (at < text.length) for (const byte of utf8.encode(text.slice(at))) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

/** @param {Func} func */
const shade = func => {
  const h = hash((func.package ?? "") + func.name);
  return (h & 7) + HUES * ((h >>> 3) % STEPS);
};

/** sRGB of OKLCH, clipped. @param {number} l @param {number} c @param {number} hue degrees @returns {string} `#rrggbb` */
export function oklch(l, c, hue) {
  const a = c * Math.cos(hue * Math.PI / 180), b = c * Math.sin(hue * Math.PI / 180);
  const [x, y, z] = [l + 0.3963377774 * a + 0.2158037573 * b, l - 0.1055613458 * a - 0.0638541728 * b, l - 0.0894841775 * a - 1.2914855480 * b].map(root => root ** 3);
  const linear = [4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z, -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z, -0.0041960863 * x - 0.7034186147 * y + 1.7076147010 * z];
  const byte = (/** @type {number} */ value) => Math.round(255 * Math.min(1, Math.max(0, value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055)));
  return "#" + linear.map(value => byte(value).toString(16).padStart(2, "0")).join("");
}

/** The bytes of a colour. @param {string} colour `#rrggbb`, or `rgb(r, g, b)` as stylesheets are computed @returns {number[]} red, green, blue */
export const bytesOf = colour => colour[0] === "#" ? [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16)) : (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);

/** @param {string} colour */
function luminance(colour) {
  const [r, g, b] = bytesOf(colour).map(byte => byte / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** How well one colour is read on another, as WCAG has it. @param {string} a `#rrggbb` @param {string} b `#rrggbb` */
export function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Written on with the ink that is read best; on middle tones that has to be black or white. @param {string} fill @returns {Swatch} */
function readable(fill) {
  const best = (/** @type {string[]} */ inks) => inks.reduce((best, ink) => contrast(ink, fill) > contrast(best, fill) ? ink : best);
  const ink = best(INKS);
  return { fill, ink: contrast(ink, fill) >= READABLE ? ink : best(["#000000", "#ffffff"]) };
}

/** @template T @param {(isDark: boolean) => T} make @returns {(isDark: boolean) => T} */
function byTheme(make) {
  /** @type {(T | undefined)[]} */ const made = [];
  return isDark => made[Number(isDark)] ??= make(isDark);
}

/** Those of the bands, in their order; the last is that of waiting. */
const kinds = byTheme(isDark => NAMES.flatMap(band => {
  const [lightness, step, chroma, from, to] = BANDS[band].shades[Number(isDark)];
  return Array.from({ length: band === "waiting" ? 1 : SHADES }, (_, shade) => ({
    fill: oklch(lightness + step * (Math.floor(shade / HUES) - 1), chroma, from + (to - from) * (shade % HUES) / (HUES - 1)), ink: INKS[Number(isDark)],
  }));
}));

const PACKAGES = 12;
/** The largest packages, and a grey for the rest. */
const packages = byTheme(isDark => [
  ...Array.from({ length: PACKAGES }, (_, at) => readable(isDark ? oklch(0.46, 0.075, 30 * at + 15) : oklch(0.85, 0.075, 30 * at + 15))),
  readable(isDark ? oklch(0.34, 0.006, 260) : oklch(0.92, 0.006, 260)),
]);

const NAME_HUES = 24;
const names = byTheme(isDark => Array.from({ length: NAME_HUES }, (_, at) => readable(isDark ? oklch(0.46, 0.08, 360 * at / NAME_HUES) : oklch(0.85, 0.08, 360 * at / NAME_HUES))));

const HEATS = 16;
/** From no time of its own to that of the hottest frame. */
const heats = byTheme(isDark => Array.from({ length: HEATS }, (_, at) => {
  const share = at / (HEATS - 1);
  return readable(isDark ? oklch(0.24 + 0.50 * share, 0.03 + 0.09 * share, 50) : oklch(0.95 - 0.33 * share, 0.02 + 0.1 * share, 50));
}));

/** Steps from grey to the strongest, each way. */
const CHANGES = 12;
/** Less, from the strongest on; grey; more. */
const changes = byTheme(isDark => Array.from({ length: 2 * CHANGES + 1 }, (_, at) => {
  const step = at - CHANGES, share = Math.abs(step) / CHANGES;
  return readable(oklch(isDark ? 0.34 + 0.17 * share : 0.93 - 0.17 * share, 0.004 + 0.116 * share, step < 0 ? 250 : 52));
}));

/** The package of a function: its library, else the first part of its module. @param {Func} func */
const packageName = ({ package: library, module }) => library ?? module?.split(/[.:/]/)[0] ?? "";

/** Bands and shades of functions, as numbers. Functions do not change. */
const kindsOf = once((/** @type {Func[]} */ functions) => Uint8Array.from(functions, func => SHADES * NAMES.indexOf(bandOf(func)) + shade(func)));
const signsOf = once((/** @type {Func[]} */ functions) => Uint8Array.from(functions, func => SIGNS[bandOf(func)] | (isNative(func) ? RULE : 0)));
const namesOf = once((/** @type {Func[]} */ functions) => Uint8Array.from(functions, func => hash(func.name) % NAME_HUES));

/** The colours of a tree's nodes. @param {Tree} tree @param {Mode} mode @param {boolean} isDark @param {(token: string) => string} token a colour of the stylesheet @returns {Colours} */
export function coloursOf(tree, mode, isDark, token) {
  const signs = signsOf(tree.functions);
  const rules = () => byFunc(signs.map(sign => sign & RULE));
  const byFunc = (/** @type {ArrayLike<number>} */ column) => { const { func } = tree, out = new Uint8Array(func.length); for (let node = 0; node < out.length; node++) out[node] = column[func[node]]; return out; };
  switch (mode) {
    case "kind": {
      const swatches = kinds(isDark), of = byFunc(kindsOf(tree.functions)), sign = byFunc(signs), waits = waiting(tree);
      if (waits) for (let node = 0; node < of.length; node++) if (waits[node]) { of[node] = swatches.length - 1; sign[node] = SIGNS.waiting; }
      return { swatches, of, sign };
    }
    case "package": return { swatches: packages(isDark), of: byFunc(packageRanks(tree)), sign: rules() };
    case "name": return { swatches: names(isDark), of: byFunc(namesOf(tree.functions)), sign: rules() };
    case "state": {
      const states = (tree.states ?? []).map(({ name }) => readable(token(shownState(name).colour)));
      const of = mostly(tree);
      return of && states.length > 0 ? { swatches: states, of, sign: null } : { swatches: [packages(isDark)[PACKAGES]], of: new Uint8Array(tree.func.length), sign: null };
    }
    case "self": {
      const { own } = tree, of = new Uint8Array(own.length);
      let most = 1;
      for (let node = 0; node < of.length; node++) most = Math.max(most, own[node]);
      for (let node = 0; node < of.length; node++) of[node] = Math.round(own[node] / most * (HEATS - 1));
      return { swatches: heats(isDark), of, sign: rules() };
    }
  }
}

/** By function, the place of its package among those with the most own time. @param {Tree} tree */
function packageRanks(tree) {
  const of = tree.functions.map(packageName);
  /** @type {Map<string, number>} */ const time = new Map();
  for (let node = 0; node < tree.func.length; node++) time.set(of[tree.func[node]], (time.get(of[tree.func[node]]) ?? 0) + tree.own[node]);
  const ranks = new Map([...time].filter(([name]) => name !== "").sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, PACKAGES).map(([name], rank) => [name, rank]));
  return Uint8Array.from(of, name => ranks.get(name) ?? PACKAGES);
}

/** A change as a swatch: blue is less, orange more, grey within the error. @param {number} difference share of all, signed @param {number} error half of its interval
 *  @param {number} most the difference that has the strongest colour */
function changeOf(difference, error, most) {
  if (!(Math.abs(difference) > error) || most <= 0) return CHANGES;
  const step = Math.min(CHANGES, Math.max(1, Math.ceil(Math.abs(difference) / most * CHANGES)));
  return CHANGES + Math.sign(difference) * step;
}

/** The colour of a change, as graphs have it. @param {number} difference @param {number} error @param {number} most @param {boolean} isDark @returns {Swatch} */
export const difference = (difference, error, most, isDark) => changes(isDark)[changeOf(difference, error, most)];

/** The colours of nodes that changed. @param {ArrayLike<number>} differences shares of all, signed @param {ArrayLike<number>} errors halves of their intervals @param {boolean} isDark @returns {Colours} */
export function coloursOfDifference(differences, errors, isDark) {
  let most = 0;
  for (let node = 0; node < differences.length; node++) if (Math.abs(differences[node]) > errors[node]) most = Math.max(most, Math.abs(differences[node]));
  const of = new Uint8Array(differences.length);
  for (let node = 0; node < of.length; node++) of[node] = changeOf(differences[node], errors[node], most);
  return { swatches: changes(isDark), of, sign: null };
}

/** The strong colour of a function's band, light and dark in one: it follows the theme by itself. @param {Func} func @returns {string} a CSS colour */
export function dotOfFunc(func) {
  const band = bandOf(func);
  return `light-dark(${dotOf(band, false)}, ${dotOf(band, true)})`;
}
