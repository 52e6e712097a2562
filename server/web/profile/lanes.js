// @ts-check
// Items of a lane of the timeline as bars, or, where there is no room for each, as how many there are: pure arithmetic.

import { version } from "../data/services.js";

/** Where an item has less room on the mean, the lane shows how many there are. */
const ITEM_MIN = 3;
/** A column of a lane that shows how many, pixels. */
export const COLUMN = 3;
/** Bars that overlap stand below each other, at most so many. */
const ROWS_MAX = 3;
/** A bar is never narrower, pixels. */
const BAR_MIN = 2;

/** @typedef {{start_us: number, end_us: number}} Item */
/** @typedef {{left: number, right: number, row: number, item: number}} Bar pixels; `item` its place in the list */
/** `rows` of bars; or `columns`: how many items are in each, `failed` how many of them failed.
 *  @typedef {{bars: Bar[], rows: number, columns: ?Uint32Array, failed: Uint32Array, most: number}} Lane */

/** @param {Item[]} items in any order @param {{from: number, to: number, width: number}} axis @param {(item: number) => boolean} isFailed @returns {Lane} */
export function lane(items, { from, to, width }, isFailed) {
  const scale = width / Math.max(1, to - from), shown = items.flatMap(({ start_us, end_us }, item) => end_us >= from && start_us <= to ? [item] : []);
  const none = { bars: [], rows: 1, columns: null, failed: new Uint32Array(), most: 0 };
  if (shown.length === 0 || width <= 0) return none;
  if (width / shown.length < ITEM_MIN) {
    const columns = new Uint32Array(Math.ceil(width / COLUMN)), failed = new Uint32Array(columns.length);
    for (const item of shown) {
      const at = Math.min(columns.length - 1, Math.max(0, Math.floor((items[item].start_us - from) * scale / COLUMN)));
      columns[at]++;
      if (isFailed(item)) failed[at]++;
    }
    return { ...none, columns, failed, most: columns.reduce((most, many) => Math.max(most, many), 0) };
  }
  shown.sort((a, b) => items[a].start_us - items[b].start_us);
  /** Where the last bar of each row ends. @type {number[]} */ const ends = [];
  const bars = shown.map(item => {
    const left = Math.max(0, (items[item].start_us - from) * scale), right = Math.min(width, Math.max(left + BAR_MIN, (items[item].end_us - from) * scale));
    let row = ends.findIndex(end => end <= left);
    if (row < 0) row = ends.length < ROWS_MAX ? ends.length : ends.indexOf(Math.min(...ends));
    ends[row] = right;
    return { left, right, row, item };
  });
  return { ...none, bars, rows: ends.length };
}

/** The item at a point of a lane that is `height` high, -1 for none. @param {Lane} lane @param {number} x @param {number} y @param {number} height */
export function itemAt({ bars, rows }, x, y, height) {
  const row = Math.min(rows - 1, Math.max(0, Math.floor(y / height * rows)));
  return bars.find(bar => bar.row === row && bar.left - 1 <= x && x <= bar.right + 1)?.item ?? -1;
}

/** What a number of columns holds as shares of the most that a column can. @param {ArrayLike<number>} values
 *  @param {number} columns @returns {Float64Array} the largest of each */
export function thinned(values, columns) {
  const out = new Float64Array(Math.max(0, Math.min(columns, values.length)));
  for (let at = 0; at < values.length && out.length > 0; at++) {
    const column = Math.floor(at * out.length / values.length);
    out[column] = Math.max(out[column], values[at]);
  }
  return out;
}

/** @typedef {{from_us: number, to_us: number, bucket_us: number, buckets: {start_us: number, on_cpu_us: number, runnable_us: number, unknown_us: number}[],
 *  threads?: any[]}} Cpu */

/** How long each bucket is, microseconds; the last ends with the window. @param {Cpu} cpu */
const lengths = ({ buckets, to_us }) => buckets.map(({ start_us }, at) => Math.max(1, (buckets[at + 1]?.start_us ?? to_us) - start_us));

/** CPUs in use in each bucket, and with what was ready to run or, where states are not known, was not idle. `known`: there are states.
 *  @param {Cpu} cpu */
export function usage(cpu) {
  const length = lengths(cpu), of = (/** @type {(bucket: any) => number} */ us) => cpu.buckets.map((bucket, at) => us(bucket) / length[at]);
  const onCpu = of(({ on_cpu_us }) => on_cpu_us), all = of(({ on_cpu_us, runnable_us, unknown_us }) => on_cpu_us + runnable_us + unknown_us);
  const known = onCpu.some(value => value > 0) || !cpu.buckets.some(({ unknown_us }) => unknown_us > 0), main = known ? onCpu : all;
  const mean = (/** @type {number} */ from, /** @type {number} */ to) => {
    let us = 0;
    for (let at = 0; at < main.length; at++) {
      const begin = cpu.buckets[at].start_us, share = Math.max(0, Math.min(to, begin + length[at]) - Math.max(from, begin)) / length[at];
      us += main[at] * length[at] * share;
    }
    return us / Math.max(1, to - from);
  };
  return { main, all, known, mean, most: main.reduce((most, value) => Math.max(most, value), 0), last: main[Math.max(0, main.length - 2)] ?? 0 };
}

/** How busy each thread was in each bucket, 0 to 1, by the thread's id; what several processes call by one id together.
 *  @param {Cpu} cpu @returns {Map<string, Float64Array>} */
export function activity(cpu) {
  const length = lengths(cpu);
  /** @type {Map<string, Float64Array>} */ const busy = new Map();
  for (const { id, on_cpu_us, unknown_us } of cpu.threads ?? []) {
    const sum = busy.get(id) ?? new Float64Array(length.length);
    for (let at = 0; at < sum.length; at++) sum[at] = Math.min(1, sum[at] + (on_cpu_us[at] + unknown_us[at]) / length[at]);
    busy.set(id, sum);
  }
  return busy;
}

/** @typedef {{id: string, name: ?string, names: number, us: number, samples: number, isMain: boolean}} Thread */

/** Threads by id, those of all processes together: main ones first, then by samples. @param {any[]} rows of `/threads` @returns {Thread[]} */
export function threadsOf(rows) {
  /** @type {Map<string, Thread & {all: Set<string>, largest: number}>} */ const threads = new Map();
  for (const { id, name, weight } of rows) {
    const thread = threads.get(id) ?? { id, name, names: 0, us: 0, samples: 0, isMain: false, all: new Set(), largest: -1 };
    thread.us += weight.us;
    thread.samples += weight.samples;
    thread.all.add(name ?? "");
    if (weight.samples > thread.largest) { thread.largest = weight.samples; thread.name = name; }
    thread.isMain ||= name === "MainThread" || name === "main";
    threads.set(id, thread);
  }
  return [...threads.values()].map(({ all, largest, ...thread }) => ({ ...thread, names: all.size })).sort((a, b) => Number(b.isMain) - Number(a.isMain)
    || b.samples - a.samples || (a.id < b.id ? -1 : 1));
}

/** The threads that have a lane: those chosen, then the first ones. @param {Thread[]} threads @param {string[]} chosen @param {number} room */
export function laned(threads, chosen, room) {
  const first = [...threads.filter(({ id }) => chosen.includes(id)), ...threads.filter(({ id }) => !chosen.includes(id))].slice(0, room);
  return threads.filter(thread => first.includes(thread));
}

/** What a thread is called. @param {{id: string, name: ?string}} thread */
export const threadName = ({ id, name }) => name || `thread ${id}`;

/** When a release was first seen, but for the one that was there before. @param {import("../data/services.js").Session[]} sessions */
export function marksOf(sessions) {
  /** @type {Map<string, number>} */ const first = new Map();
  for (const { release, first_us } of sessions) if (release) first.set(release, Math.min(first_us, first.get(release) ?? Infinity));
  return [...first].sort((a, b) => a[1] - b[1]).slice(1).map(([release, at]) => ({ at, text: `${version(release)} first seen` }));
}

/** Whether a status is a failure. @param {?string} status */
export const isBad = status => status !== null && !["ok", "cancelled", "unknown", ""].includes(status);
