// @ts-check
// The arithmetic of the heat map: columns of time, rows of durations on a log scale, how many transactions are in each cell.

import { clock, count, counted, day, duration } from "../data/format.js";

/** What a column may be wide, seconds. */
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];
const COLUMNS_MAX = 96;
/** A day and an hour, seconds: what is called the last day is one, too. */
const DAY = 90000;
/** Durations that the axis always shows, microseconds: a heat map of few transactions is not a strip. */
const ALWAYS = [1e3, 1e6];
/** Shades of cells; the last is the fullest cell. */
export const LEVELS = 5;

/** Cells of both ends are in it. @typedef {{c0: number, c1: number, r0: number, r1: number}} Rect */
/** `from` and `width` are microseconds, `rows` the least durations of the rows; `low` and `high` are the rows that are shown. Counts are by
 *  column, then by row; `most` is the largest.
 *  @typedef {{from: number, width: number, columns: number, rows: number[], low: number, high: number, all: Float64Array, failed: Float64Array,
 *  profiled: Float64Array, most: number}} Heat */
/** As the address has it: "" where it is open. @typedef {{w0: string, w1: string, min: string, max: string}} Chosen */

/** Columns that do not move while time goes on: as wide as people count, and beginning at multiples of that. @param {number} from seconds @param {number} to seconds */
export function columnsOf(from, to) {
  const width = WIDTHS.find(width => (to - from) / width <= COLUMNS_MAX) ?? Math.ceil((to - from) / COLUMNS_MAX);
  const first = Math.floor(from / width) * width, many = Math.max(1, Math.ceil(to / width) - first / width);
  return { from: first, to: first + many * width, width, many };
}

/** @param {any} body as `/transactions/heat` answers @param {boolean} profiled counts those with a profile only @returns {Heat} */
export function heat(body, profiled) {
  const { from_us: from, to_us: to, column_us: width, rows, cells } = body;
  const columns = Math.max(1, Math.round((to - from) / width)), size = columns * rows.length;
  const heat = { from, width, columns, rows, low: 0, high: rows.length - 1, all: new Float64Array(size), failed: new Float64Array(size), profiled: new Float64Array(size), most: 0 };
  let low = rows.length, high = -1;
  for (const [column, row, many, failed, withProfile] of cells) {
    if (column < 0 || column >= columns || row < 0 || row >= rows.length) continue;
    const at = column * rows.length + row, seen = profiled ? withProfile : many;
    heat.all[at] += seen;
    heat.failed[at] += failed;
    heat.profiled[at] += withProfile;
    heat.most = Math.max(heat.most, heat.all[at]);
    if (seen > 0) { low = Math.min(low, row); high = Math.max(high, row); }
  }
  const [a, b] = ALWAYS.map(us => rowOf(rows, us));
  heat.low = Math.max(0, Math.min(low - 1, a));
  heat.high = Math.min(rows.length - 1, Math.max(high + 1, b));
  return heat;
}

/** The row that holds a duration; shorter ones than any are in the first. @param {number[]} rows @param {number} us */
export function rowOf(rows, us) {
  let low = 0, high = rows.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (rows[middle] <= us) low = middle; else high = middle;
  }
  return low;
}

/** Where a row begins on the log scale: the first one begins above nothing, the one behind the last is as wide as that. @param {number[]} rows @param {number} row */
export function boundOf(rows, row) {
  const last = rows.length - 1;
  if (row > last) return last > 0 && rows[last - 1] > 0 ? rows[last] * rows[last] / rows[last - 1] : Infinity;
  if (rows[row] > 0) return rows[row];
  return last > 1 ? rows[1] * rows[1] / rows[2] : 1;
}

/** The powers of ten among the shown rows, and where they are: rows from the bottom. @param {Heat} heat */
export function decades({ rows, low, high }) {
  const ticks = [], first = boundOf(rows, low), last = boundOf(rows, high + 1);
  for (let power = Math.ceil(Math.log10(first) - 1e-3); 10 ** power <= last * 1.001; power++) {
    const us = 10 ** power, row = Math.max(low, Math.min(high, rowOf(rows, us * 1.001)));
    const a = boundOf(rows, row), b = boundOf(rows, row + 1), within = Number.isFinite(b) ? Math.log(us / a) / Math.log(b / a) : 0;
    ticks.push({ us, at: Math.max(0, row - low + Math.min(1, within)) });
  }
  return ticks;
}

/** Shade of a cell: 0 for none, then 1 to LEVELS by the logarithm of its count. @param {number} many @param {number} most */
export function level(many, most) {
  if (many <= 0) return 0;
  return most <= 1 ? LEVELS : 1 + Math.round((LEVELS - 1) * Math.log(many) / Math.log(most));
}

/** Two corners in any order, as the cells between them. @param {{column: number, row: number}} a @param {{column: number, row: number}} b @returns {Rect} */
export function rectOf(a, b) {
  return { c0: Math.min(a.column, b.column), c1: Math.max(a.column, b.column), r0: Math.min(a.row, b.row), r1: Math.max(a.row, b.row) };
}

/** How many are in it. @param {Heat} heat @param {Rect} rect */
export function sum({ rows, all, failed, profiled }, { c0, c1, r0, r1 }) {
  const sums = { count: 0, failed: 0, profiled: 0 };
  for (let column = c0; column <= c1; column++) {
    for (let row = r0; row <= r1; row++) {
      const at = column * rows.length + row;
      sums.count += all[at];
      sums.failed += failed[at];
      sums.profiled += profiled[at];
    }
  }
  return sums;
}

/** The time and the durations of cells. Beyond the shown rows there is nothing: at the edges durations are open. @param {Heat} heat @param {Rect} rect @returns {Chosen} */
export function chosenOf({ from, width, rows, low, high }, { c0, c1, r0, r1 }) {
  return {
    w0: String(Math.round(from + c0 * width)), w1: String(Math.round(from + (c1 + 1) * width)),
    min: r0 <= low ? "" : String(rows[r0]), max: r1 >= high ? "" : String(rows[r1 + 1]),
  };
}

/** The cells that a choice covers; `exact`: its edges are theirs, so that their counts are its counts; `null`: it is beyond the map.
 *  @param {Heat} heat @param {Chosen} chosen @returns {?{rect: Rect, exact: boolean}} */
export function rectOfChosen({ from, width, columns, rows, low, high }, { w0, w1, min, max }) {
  const near = (/** @type {number} */ value) => Math.abs(value - Math.round(value)) * width < 2 ? Math.round(value) : value;
  const a = w0 === "" ? 0 : near((Number(w0) - from) / width), b = w1 === "" ? columns : near((Number(w1) - from) / width);
  if (b <= 0 || a >= columns || b <= a) return null;
  const r0 = min === "" ? low : rowOf(rows, Number(min)), r1 = max === "" ? high : rowOf(rows, Number(max) - 1);
  const isRow = (/** @type {string} */ us) => us === "" || rows.includes(Number(us));
  if (r1 < r0) return null;
  return {
    rect: { c0: Math.max(0, Math.floor(a)), c1: Math.min(columns, Math.ceil(b)) - 1, r0: Math.max(low, r0), r1: Math.min(high, Math.max(low, r1)) },
    exact: Number.isInteger(a) && Number.isInteger(b) && a >= 0 && b <= columns && isRow(min) && isRow(max),
  };
}

/** `14:31 – 14:41, 200 ms – 3.16 s`; where it was not today, the day is said. @param {Chosen} chosen @param {number} [now] milliseconds */
export function spanWords({ w0, w1, min, max }, now = Date.now()) {
  const isOneDay = day(Number(w0)) === day(Number(w1));
  const time = w0 === "" && w1 === "" ? "" : `${w0 === "" ? "" : moment(Number(w0), now)} – ${w1 === "" ? "" : isOneDay ? shortClock(Number(w1)) : moment(Number(w1), now)}`;
  return [time, lengthWords(min, max)].filter(Boolean).join(", ");
}

/** @param {string} min @param {string} max microseconds */
function lengthWords(min, max) {
  const [least, most] = [min, max].map(us => duration(Number(us)));
  if (min === "") return max === "" ? "" : `below ${most}`;
  return max === "" ? `from ${least}` : `${least} – ${most}`;
}

/** The time of day, seconds only where there are any. @param {number} us */
export function shortClock(us) {
  return clock(us).replace(/:00$/, "");
}

/** The same with the day, if that is not today. @param {number} us @param {number} [now] milliseconds */
export function moment(us, now = Date.now()) {
  return isToday(us, now) ? shortClock(us) : `${day(us)} ${shortClock(us)}`;
}

/** @param {number} us @param {number} [now] milliseconds */
export function isToday(us, now = Date.now()) {
  return new Date(us / 1000).toDateString() === new Date(now).toDateString();
}

/** Cells in words. @param {Heat} heat @param {Rect} rect */
export function words(heat, rect) {
  const { count: many, failed, profiled } = sum(heat, rect);
  const what = many === 0 ? "none" : `${counted(many, "transaction")}${failed > 0 ? `, ${count(failed)} failed` : ""}, ${count(profiled)} with a profile`;
  return `${spanWords(chosenOf(heat, rect))}: ${what}`;
}

/** Times for the axis below: as many as there is room for, at round times; over more than a day with their days. @param {Heat} heat @param {number} most */
export function timeTicks({ from, width, columns }, most) {
  const seconds = from / 1e6, length = columns * width / 1e6;
  const step = WIDTHS.find(step => length / step <= most) ?? length;
  const words = (/** @type {number} */ us) => length <= DAY ? shortClock(us) : step % 86400 === 0 ? day(us) : `${day(us)} ${shortClock(us)}`;
  const ticks = [];
  for (let at = Math.ceil(seconds / step) * step; at <= seconds + length; at += step) ticks.push({ us: at * 1e6, at: (at - seconds) / length, words: words(at * 1e6) });
  return ticks;
}
