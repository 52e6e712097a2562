// @ts-check
// Transactions by name: how many, how long, how spread, and where their time goes.

import { h } from "../vendor/preact.js";
import { count, duration } from "../data/format.js";
import { shares } from "../data/shares.js";
import { Parts } from "../shell/parts.js";
import { COLUMNS } from "./rows.js";

/** The buckets of `spread`, as the API has them: four a decade from 100 µs on. */
const BUCKETS = 24;
const SPREAD_HIGH = 16;

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./rows.js").Name} Name */

/** `states` are microseconds by state of each name, as far as known.
 *  @param {{rows: Name[], shown: Shown, states: Map<string, Record<string, number>>, select: (name: string) => void, sort: (sort: Shown["sort"]) => void}} props */
export function Names({ rows, shown, states, select, sort }) {
  const head = COLUMNS.map(column => {
    const isSorted = column.sort === shown.sort, rises = (column.sort === "name") !== shown.up;
    return h("th", { key: column.name, scope: "col", class: `${column.class} at-${column.sort}`, "aria-sort": isSorted ? (rises ? "ascending" : "descending") : undefined },
      h("button", { type: "button", onClick: () => sort(column.sort) }, column.name));
  });
  return h("table", { class: "tx-by" },
    h("thead", null, h("tr", null, head,
      h("th", { scope: "col", class: "at-spread", title: "Durations on a log scale from 100 µs to 100 s; orange: beyond p95" }, "Spread"),
      h("th", { scope: "col", class: "at-where", title: "Of the newest transactions with a profile" }, "Where time goes"))),
    h("tbody", null, rows.map(row => {
      const isChosen = row.name === shown.name, known = states.get(row.name), short = row.name.slice(0, 500);
      return h("tr", { key: row.name + "\n" + row.op, class: isChosen ? "selected" : "", onClick: () => select(isChosen ? "" : row.name) },
        h("td", null, h("button", {
          type: "button", class: "link", dir: "auto", "aria-current": isChosen ? "true" : undefined, title: row.op ? `${row.op}: ${short}` : short,
        }, row.name)),
        h("td", { class: "figure" }, duration(row.sum_us)), h("td", { class: "figure soft" }, count(row.count)),
        h("td", { class: "figure at-failed" + (row.failed > 0 ? " bad" : " soft") }, row.failed > 0 ? count(row.failed) : "–"),
        h("td", { class: "figure" }, duration(row.p50_us)), h("td", { class: "figure" }, h("b", null, duration(row.p95_us))),
        h("td", { class: "at-spread" }, row.spread ? h(Spread, { row }) : null),
        h("td", { class: "at-where" }, known ? h(Parts, { parts: shares(known), quiet: true }) : h("span", { class: "soft" }, row.with_profile > 0 ? "–" : "no profile")));
    })));
}

/** A histogram of durations. @param {{row: Name}} props */
function Spread({ row }) {
  const spread = row.spread ?? [], most = Math.max(1, ...spread), beyond = bucket(row.p95_us);
  const path = (/** @type {(at: number) => boolean} */ takes) => spread.map((many, at) => {
    const high = many > 0 ? Math.max(1.5, many * SPREAD_HIGH / most) : 0.5;
    return takes(at) ? `M${at * 3.5} ${SPREAD_HIGH}v${-high}h2.5v${high}z` : "";
  }).join("");
  const mode = spread.indexOf(most), words = `Most last ${duration(10 ** ((mode + 8) / 4))} to ${duration(10 ** ((mode + 9) / 4))}`;
  return h("svg", { class: "tx-spread", width: BUCKETS * 3.5, height: SPREAD_HIGH, role: "img", "aria-label": words },
    h("path", { d: path(at => at <= beyond) }), h("path", { class: "beyond", d: path(at => at > beyond) }));
}

/** @param {number} us */
function bucket(us) {
  return Math.max(0, Math.min(BUCKETS - 1, Math.floor(4 * Math.log10(Math.max(1, us))) - 8));
}
