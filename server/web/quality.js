// @ts-check
// How far what is shown may be trusted, and what taking it cost.

import { h } from "./preact.js";
import { count, percent } from "./format.js";

const COUNTED = ["late", "skipped", "lost", "truncated", "guessed", "dropped"];

/** A count, or counts by reason. @param {number | Record<string, number>} counted @returns {number} */
function sum(counted) {
  return typeof counted === "number" ? counted : Object.values(counted).reduce((all, one) => all + one, 0);
}

/** @param {number | Record<string, number>} counted */
function reasons(counted) {
  return typeof counted === "number" ? "" : Object.entries(counted).map(([reason, many]) => `${reason.replaceAll("_", " ")}: ${count(many)}`).join(", ");
}

/** @param {{data: any, covers: any}} props */
export function Quality({ data, covers }) {
  const cell = (/** @type {string} */ name, /** @type {string} */ value, title = "", level = "") => h("span", { title, class: level }, name, " ", h("b", null, value));
  const parts = [];
  if (data?.profiles > 0) {
    const { counters, stopped_us, agent_cpu_us, span_us, ticks, ticks_asked } = data, reached = ticks / Math.max(1, ticks_asked);
    parts.push(cell("ticks", percent(ticks, ticks_asked), "of those that were asked for", reached < 0.8 ? "bad" : reached < 0.95 ? "warn" : ""));
    const none = COUNTED.filter(name => sum(counters[name]) === 0);
    for (const name of COUNTED.filter(name => sum(counters[name]) > 0)) {
      const share = sum(counters[name]) / Math.max(1, counters.samples), doubtful = name === "truncated" || name === "guessed";
      parts.push(cell(name, count(sum(counters[name])), reasons(counters[name]), doubtful && share > 0.1 ? "bad" : doubtful && share > 0.01 ? "warn" : ""));
    }
    if (none.length > 0) parts.push(h("span", { title: none.join(", ") }, none.length === COUNTED.length ? "nothing late, skipped, lost, truncated, guessed or dropped" : `no ${none.join(", ")}`));
    parts.push(cell("held stopped", percent(stopped_us, span_us)), cell("agent", `${percent(agent_cpu_us, span_us)} of a core`));
  }
  if (covers?.damaged?.length) parts.push(h("span", { class: "bad" }, `${covers.damaged.length} of ${count(covers.profiles + covers.damaged.length)} profiles cannot be read; the rest is shown`));
  if (covers) parts.push(h("span", { class: "last" }, `${count(covers.profiles)} ${covers.profiles === 1 ? "profile" : "profiles"}`, covers.live > 0 ? " and what is not sent yet" : ""));
  return h("footer", { "aria-label": "Quality of the data" }, parts);
}
