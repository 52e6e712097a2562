// @ts-check
// Transactions one by one: the slowest or the newest.

import { h } from "../vendor/preact.js";
import { clock, count, day, duration } from "../data/format.js";
import { shares } from "../data/shares.js";
import { link } from "../shell/link.js";
import { Parts, chip } from "../shell/parts.js";
import { profileAddress, sliceOf } from "../trace/slice.js";
import { isToday } from "./heat.js";

/** @typedef {import("../shell/app.js").PageProps["go"]} Go */
/** @typedef {"slowest" | "newest"} Order */

/** @param {{items: import("./rows.js").Item[], project: string, withName: boolean, order: Order, go: Go, sort: (order: Order) => void}} props */
export function List({ items, project, withName, order, go, sort }) {
  const head = (/** @type {string} */ name, /** @type {string} */ more) => h("th", { scope: "col", class: more }, name);
  const sorted = (/** @type {Order} */ by, /** @type {string} */ name, /** @type {string} */ more) =>
    h("th", { scope: "col", class: more, "aria-sort": order === by ? "descending" : undefined }, h("button", { type: "button", onClick: () => sort(by) }, name));
  const withDay = items.some(({ transaction }) => !isToday(transaction.start_us));
  return h("table", { class: "tx-one" + (withDay ? " with-day" : "") + (withName ? " with-name" : "") },
    h("thead", null, h("tr", null,
      sorted("newest", "Time", "at-time"), head("Trace", "at-trace"), withName ? head("Transaction", "") : null, sorted("slowest", "Duration", "figure at-duration"),
      head("Where time goes", "at-where"), head("Samples", "figure at-samples"), head("Profile", "at-slice"))),
    h("tbody", null, items.map(({ transaction, has_profile, states_us, samples }) => {
      const { event_id, trace_id, span_id, name, status, start_us, end_us } = transaction, slice = has_profile ? sliceOf(project, transaction) : null;
      const short = trace_id.slice(0, 8), length = duration(end_us - start_us), trace = new URLSearchParams({ project, trace: trace_id.replaceAll("-", ""), span: String(span_id) });
      const failed = isFailed(status) ? chip(status, "bad") : null;
      return h("tr", { key: event_id },
        h("td", { title: new Date(start_us / 1000).toISOString() }, withDay ? `${day(start_us)} ${clock(start_us)}` : clock(start_us)),
        h("td", null, h("span", { class: "tx-trace" }, link("trace", "?" + trace, short, go, "mono", `Trace ${short} of ${clock(start_us)}`), withName ? null : failed)),
        withName ? h("td", { title: name.slice(0, 500) }, h("span", { class: "tx-trace" }, h("span", { class: "clip", dir: "auto" }, name), failed)) : null,
        h("td", { class: "figure" }, h("b", null, length)),
        h("td", null, states_us ? h(Parts, { parts: shares(states_us), quiet: true }) : h("span", { class: "soft" }, "not known")),
        h("td", { class: "figure at-samples" }, samples === null || samples === undefined ? "–" : count(samples)),
        h("td", null, slice ? link("profile", profileAddress(slice), "Open slice", go, "", `Open slice of ${clock(start_us)}, ${length}`) : h("span", { class: "soft" }, "none")));
    })));
}

/** A status says what went wrong, if not `ok`. @param {?string} status */
export function isFailed(status) {
  return status !== null && status !== "ok";
}
