// @ts-check
// What the lists of the transactions page show, in which order.

import { added } from "../data/shares.js";

/** So many functions are told of a difference. */
const DIFFERENT = 12;

/** @typedef {import("./address.js").Shown} Shown */
/** A row as `/transactions` answers.
 *  @typedef {{name: string, op: ?string, count: number, with_profile: number, failed: number, p50_us: number, p95_us: number, sum_us: number, spread?: number[]}} Name */

/** @type {{sort: Shown["sort"], name: string, of: (row: Name) => number | string, class: string}[]} */
export const COLUMNS = [
  { sort: "name", name: "Transaction", of: row => row.name, class: "" },
  { sort: "total", name: "Total", of: row => row.sum_us, class: "figure" },
  { sort: "count", name: "Count", of: row => row.count, class: "figure" },
  { sort: "failed", name: "Failed", of: row => row.failed, class: "figure" },
  { sort: "p50", name: "p50", of: row => row.p50_us, class: "figure" },
  { sort: "p95", name: "p95", of: row => row.p95_us, class: "figure" },
];

/** Those that a search finds, in order. @param {Name[]} names @param {string} q @param {boolean} profiled only those with a profile
 *  @param {Shown["sort"]} sort @param {boolean} up against its usual order @returns {Name[]} */
export function found(names, q, profiled, sort, up) {
  const asked = q.trim().toLowerCase(), { of } = COLUMNS.find(column => column.sort === sort) ?? COLUMNS[1];
  const by = (/** @type {Name} */ a, /** @type {Name} */ b) => {
    const [x, y] = [of(a), of(b)];
    return typeof x === "string" ? x.localeCompare(String(y)) : x - Number(y);
  };
  // Names rise where figures fall: both are what one looks for first.
  const sign = (sort === "name") === up ? -1 : 1;
  return names.filter(row => row.name.toLowerCase().includes(asked) && (!profiled || row.with_profile > 0)).sort((a, b) => sign * by(a, b) || b.sum_us - a.sum_us);
}

/** @typedef {{function: any, own: {difference: number, error_95: number}}} Row as the API has it */

/** The functions whose share of own time differs by more than its error, the largest difference first. @param {Row[]} functions @returns {Row[]} */
export function beyondNoise(functions) {
  return functions.filter(({ own }) => Math.abs(own.difference) > own.error_95).sort((a, b) => Math.abs(b.own.difference) - Math.abs(a.own.difference)).slice(0, DIFFERENT);
}

/** As `/transactions/newest` answers.
 *  @typedef {{transaction: any, has_profile: boolean, states_us?: ?Record<string, number>, samples?: ?number}} Item */

/** Time by state of each name, of those that were listed; of a name that is not in the sample, of the list.
 *  @param {Item[] | undefined} sample @param {Item[] | undefined} list */
export function statesOf(sample, list) {
  const sum = (/** @type {Item[]} */ items) => {
    /** @type {Map<string, Record<string, number>>} */ const sums = new Map();
    for (const { transaction: { name }, states_us } of items) if (states_us) sums.set(name, added(sums.get(name) ?? {}, states_us));
    return sums;
  };
  return new Map([...sum(list ?? []), ...sum(sample ?? [])]);
}
