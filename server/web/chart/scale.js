// @ts-check
// What charts work out before anything is drawn: round steps, sums on top of each other, outlines.

/** Round steps from 0 up to or over the largest value. @param {number} most @param {number} [steps] about so many @returns {number[]} */
export function ticks(most, steps = 3) {
  if (!(most > 0)) return [0, 1];
  const raw = most / steps, power = 10 ** Math.floor(Math.log10(raw)), step = ([1, 2, 2.5, 5, 10].find(one => one * power >= raw * 0.999) ?? 10) * power;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => Number((at * step).toPrecision(12)));
}

/** A step of an axis: as many decimals as all of its steps need, and thousands as `k`. @param {number} value @param {number} step between steps */
export function label(value, step) {
  if (value === 0) return "0";
  if (step >= 1000) return `${Number((value / 1000).toPrecision(6))}k`;
  const decimals = [1, 10, 100].findIndex(by => Math.abs(step * by - Math.round(step * by)) < 1e-9);
  return value.toFixed(decimals < 0 ? 3 : decimals);
}

/** Each series on top of those before it; what is not known counts as nothing, and where nothing is known there is none.
 *  @param {(number | null)[][]} all @returns {(number | null)[][]} */
export function stack(all) {
  /** @type {(number | null)[][]} */ const sums = [];
  for (const values of all) {
    const below = sums.at(-1);
    sums.push(values.map((value, at) => all.every(values => values[at] === null) ? null : (below?.[at] ?? 0) + (value ?? 0)));
  }
  return sums;
}

/** The largest value of several series. @param {(number | null)[][]} all */
export function largest(all) {
  return all.reduce((most, values) => values.reduce((/** @type {number} */ most, value) => Math.max(most, value ?? 0), most), 0);
}

/** A line over values and the area below it, as paths of SVG; where nothing is known there is a gap.
 *  @param {(number | null)[]} values @param {number} width @param {number} height */
export function spark(values, width, height) {
  const most = largest([values]) * 1.15 || 1, step = width / Math.max(1, values.length - 1);
  let line = "", area = "", begun = "";
  values.forEach((value, at) => {
    if (value === null) return;
    const x = (at * step).toFixed(1), y = (height - value / most * height).toFixed(1), isFirst = (values[at - 1] ?? null) === null;
    line += `${isFirst ? "M" : "L"}${x} ${y}`;
    if (isFirst) begun = x;
    area += isFirst ? `M${x} ${height}L${x} ${y}` : `L${x} ${y}`;
    if ((values[at + 1] ?? null) === null) area += `L${x} ${height}L${begun} ${height}Z`;
  });
  return { line, area };
}
