// @ts-check
// What changed from A to B, in one of three measures, and how much of that sampling alone would make.
//
// The server says the noise of shares. Time per request and cores are counts of ticks over something that is known: the number of ticks has a Poisson
// distribution, whose variance is its mean, so that 95 % of what sampling alone makes lies within 1.96 sqrt(ka^2 (xa + 1) + kb^2 (xb + 1)), where x are ticks and
// k is what one tick adds to the measure. The 1 keeps what was seen never or once from looking certain. Ticks of one long call are not independent: what is
// within the noise is noise for sure, what is a little beyond it may be.

import { cores, duration, percent, signed } from "../data/format.js";
import { end, hottest } from "../data/tree.js";

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {"share" | "request" | "cores"} Measure */
/** Of A and of B. @typedef {[number, number]} Both */
/** `requests`: nothing where they are not known. @typedef {{us: Both, ticks: Both, seconds: Both, requests: ?Both}} Totals */
/** `only` where the other side has none of it. @typedef {{func: number, a: number, b: number, change: number, noise: number, isNoise: boolean, only: "" | "a" | "b"}} Row */

/** 95 % of a normal distribution lie within so many standard deviations. */
const Z_95 = 1.96;
const NARROW = "\u202f";

/** What microseconds are divided by, [A, B]. @param {Measure} measure @param {Totals} totals @returns {Both} */
function per(measure, { us, requests, seconds }) {
  const of = measure === "share" ? us : measure === "request" ? requests ?? [1, 1] : [seconds[0] * 1e6, seconds[1] * 1e6];
  return [Math.max(1, of[0]), Math.max(1, of[1])];
}

/** Half of the 95 % interval of the difference of two shares (Agresti and Caffo, 2000), as the server has it. @param {Both} shares @param {Both} ticks */
function shareNoise(shares, ticks) {
  const variance = (/** @type {number} */ side) => {
    const n = Math.max(0, ticks[side]) + 2, p = (shares[side] * Math.max(0, ticks[side]) + 1) / n;
    return p * (1 - p) / n;
  };
  return Z_95 * Math.sqrt(variance(0) + variance(1));
}

/** @param {Measure} measure @param {Totals} totals @param {number} a microseconds @param {number} b */
export function changeOf(measure, totals, a, b) {
  const by = per(measure, totals), values = /** @type {Both} */ ([a / by[0], b / by[1]]), { us, ticks } = totals;
  const sum = [a, b].reduce((sum, part, side) => {
    const tick = us[side] / Math.max(1, ticks[side]);
    return sum + (tick / by[side]) ** 2 * (part / Math.max(1e-9, tick) + 1);
  }, 0);
  const noise = measure === "share" ? shareNoise(values, ticks) : Z_95 * Math.sqrt(sum), change = values[1] - values[0];
  return { a: values[0], b: values[1], change, noise, isNoise: !(Math.abs(change) > noise) };
}

/** Both trees out of an answer of `/difference`: the same nodes, each with its own times.
 *  @param {any} answer @param {(row: any[]) => import("../data/tree.js").Func} func @returns {{a: Tree, b: Tree}} */
export function trees(answer, func) {
  const { function: of, depth, base_total_us, total_us, base_own_us, own_us } = answer.nodes, functions = answer.tree_functions.map(func);
  const both = { functions, func: Int32Array.from(of), depth: Int32Array.from(depth), seen: 0 };
  return {
    a: { ...both, total: Float64Array.from(base_total_us), own: Float64Array.from(base_own_us), all: answer.base_total_us },
    b: { ...both, total: Float64Array.from(total_us), own: Float64Array.from(own_us), all: answer.total_us },
  };
}

/** Functions with their times in both.
 *  @param {{a: Tree, b: Tree}} trees @param {Measure} measure @param {Totals} totals @param {boolean} isSelf own time, not that with all they call @returns {Row[]} */
export function rowsOf({ a, b }, measure, totals, isSelf) {
  const what = isSelf ? "own" : "total";
  const times = (/** @type {Tree} */ tree) => new Map(hottest(tree).map(row => [row.func, row]));
  const [before, after] = [times(a), times(b)];
  return [...new Set([...before.keys(), ...after.keys()])].map(func => {
    const [was, is] = [before.get(func), after.get(func)];
    return { func, ...changeOf(measure, totals, was?.[what] ?? 0, is?.[what] ?? 0), only: /** @type {Row["only"]} */ (!was ? "b" : !is ? "a" : "") };
  }).filter(({ a, b }) => a > 0 || b > 0);
}

/** As much of the largest change as a function must have to stand for it. */
const STANDS_FOR = 0.8;

/** The change to look at first: of functions that have most of the largest one, it and those that call it, the one that does least else. @param {Row[]} rows @returns {?Row} */
export function largest(rows) {
  const real = rows.filter(({ isNoise }) => !isNoise), top = real.reduce((/** @type {?Row} */ most, row) => !most || Math.abs(row.change) > Math.abs(most.change) ? row : most, null);
  if (!top) return null;
  return real.filter(({ change }) => change / top.change >= STANDS_FOR).reduce((least, row) => Math.max(row.a, row.b) < Math.max(least.a, least.b) ? row : least, top);
}

/** By node: how much it changed, and the noise of that. @param {{a: Tree, b: Tree}} trees @param {Measure} measure @param {Totals} totals */
export function nodesOf({ a, b }, measure, totals) {
  const change = new Float64Array(b.func.length), noise = new Float64Array(b.func.length);
  for (let node = 0; node < change.length; node++) ({ change: change[node], noise: noise[node] } = changeOf(measure, totals, a.total[node], b.total[node]));
  return { change, noise };
}

/** What is in one tree and in the other not at all, from the first such frame on, the most first. `rest`: what is left out, since sampling alone may have missed it.
 *  @param {Tree} tree @param {Tree} other with the same nodes @param {(node: number) => boolean} isNoise @returns {{tree: Tree, rest: number}} */
export function onlyIn(tree, other, isNoise) {
  /** @type {number[]} */ const roots = [];
  let all = 0, rest = 0;
  for (let node = 0; node < tree.depth.length; ) {
    if (tree.total[node] === 0 || other.total[node] > 0) { node++; continue; }
    if (isNoise(node)) rest += tree.total[node]; else { roots.push(node); all += tree.total[node]; }
    node = end(tree, node);
  }
  roots.sort((a, b) => tree.total[b] - tree.total[a]);
  const nodes = roots.flatMap(root => Array.from({ length: end(tree, root) - root }, (_, at) => root + at).filter(node => tree.total[node] > 0));
  const of = (/** @type {ArrayLike<number>} */ column) => Float64Array.from(nodes, node => column[node]);
  let top = 0;
  const depth = Int32Array.from(nodes, node => { if (roots[top + 1] === node) top++; return tree.depth[node] - tree.depth[roots[top]]; });
  return { tree: { functions: tree.functions, func: Int32Array.from(nodes, node => tree.func[node]), depth, total: of(tree.total), own: of(tree.own), all, seen: 0 }, rest };
}

/** The frame of a function that is widest. @param {Tree} tree @param {number} func @returns {number} its node, -1 for none */
export function widest({ func: of, total }, func) {
  let best = -1;
  for (let node = 0; node < of.length; node++) if (of[node] === func && total[node] > (best < 0 ? 0 : total[best])) best = node;
  return best;
}

/** A figure of a measure. @param {Measure} measure @param {number} value */
export function figure(measure, value) {
  return measure === "share" ? percent(value, 1) : measure === "request" ? duration(value) : value >= 0.1 || value === 0 ? cores(value) : value < 0.001 ? "<0.001" : value.toFixed(3);
}

/** A change with its sign, without the unit of the column: points for shares. @param {Measure} measure @param {number} value */
export function difference(measure, value) {
  if (measure === "share") return signed(value * 100);
  return (value < 0 ? "\u2212" : value > 0 ? "+" : "") + figure(measure, Math.abs(value));
}

/** Half of an interval, in the unit of `difference`. @param {Measure} measure @param {number} value */
export function noiseOf(measure, value) {
  return measure === "share" ? value < 0.0005 ? "<0.1" : (value * 100).toFixed(1) : figure(measure, value);
}

/** Whether B takes more or less in all, in words: per request where these are known; else in cores, or threads by the wall clock.
 *  @param {Totals} totals @param {boolean} isCpu @returns {{name: string, a: string, b: string, noise: string, relative: string, isNoise: boolean, change: number}} */
export function verdict(totals, isCpu) {
  const measure = totals.requests ? "request" : "cores", { a, b, change, noise, isNoise } = changeOf(measure, totals, ...totals.us);
  const relative = a > 0 ? `${signed(change * 100 / a)}${NARROW}%` : "new";
  const name = totals.requests ? isCpu ? "CPU per request" : "Thread time per request" : isCpu ? "On-CPU cores" : "Threads not idle";
  return { name, a: figure(measure, a), b: figure(measure, b), noise: figure(measure, noise), relative, isNoise, change };
}
