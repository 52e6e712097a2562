// @ts-check
// Ticks of an axis of time: at round times of the day here, no denser than their labels need.

const MS = 1e3, S = 1e6, MIN = 60 * S, H = 60 * MIN, DAY = 24 * H;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S, 2 * S, 5 * S, 10 * S, 15 * S,
  30 * S,
  MIN, 2 * MIN, 5 * MIN, 10 * MIN, 15 * MIN, 30 * MIN, H, 2 * H, 3 * H, 6 * H, 12 * H, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];

/** @typedef {{at: number, text: string}} Tick */

/** How much earlier the clock of the world is than that here. @param {number} us */
const zone = us => -new Date(us / 1e3).getTimezoneOffset() * MIN;

/** The time of day as fine as a span of time needs it. @param {number} us since 1970 @param {number} step */
export function timeOf(us, step) {
  const date = new Date(us / 1e3), two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  if (step >= DAY) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= MIN) return minutes;
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step / S)))), part = Math.floor(us % S / 10 ** (6 - digits));
  return `${minutes}:${two(date.getSeconds())}` + (digits > 0 ? "." + String(part).padStart(digits, "0") : "");
}

/** @param {number} from @param {number} to microseconds since 1970 @param {number} room for how many @returns {Tick[]} */
export function ticks(from, to, room) {
  if (!(to > from) || room < 1) return [];
  const longest = STEPS[STEPS.length - 1], shift = zone(from);
  const step = STEPS.find(step => (to - from) / step <= room) ?? longest * Math.ceil((to - from) / longest / room);
  /** @type {Tick[]} */ const list = [];
  for (let at = Math.ceil((from + shift) / step) * step - shift; at <= to; at += step) list.push({ at, text: timeOf(at, step) });
  return list;
}

/** The ends of a window, as fine as it is long. @param {number} from @param {number} to */
export function span(from, to) {
  const step = to - from >= 2 * DAY ? DAY : to - from < 100 * MS ? 100 : to - from < 30 * S ? 100 * MS : S;
  return `${timeOf(from, step)} – ${timeOf(to, step)}`;
}
