// @ts-check
// The hours of a month by project.

import { h } from "../vendor/preact.js";
import { bytes, count, percent } from "../data/format.js";
import { bar, dot } from "../shell/parts.js";
import { hoursOf } from "./words.js";

/** @typedef {import("./rail.js").Recent} Recent */
/** @typedef {{month: import("./month.js").Month, recent: Map<number, Recent>, nameOf: (project: number) => string, colourOf: (place: number) => string}} Props */

/** What stands over the columns; `class` says which of them go first where there is little room. @type {[string, string][]} */
const COLUMNS = [
  ["Instances", "figure"], ["Hours this month ↓", "figure"], ["A day", "figure"], ["Month at this pace", "figure"], ["Share", "share"],
  ["As Sentry counts", "figure less-needed"], ["Stored, last 24 h", "figure"], ["Bytes a sample", "figure less-needed"],
];

/** @param {Props} props */
export function Table({ month: { projects, us, pace, forecast, isOver }, recent, nameOf, colourOf }) {
  const seconds = projects.reduce((sum, { sentry_seconds }) => sum + sentry_seconds, 0), all = [...recent.values()];
  const sum = (/** @type {"instances" | "bytes" | "samples"} */ what) => all.reduce((sum, of) => sum + of[what], 0);
  const cells = (/** @type {number} */ of, /** @type {number} */ counted, /** @type {string} */ colour, /** @type {Partial<Recent> | undefined} */ last) => {
    const share = of / Math.max(1, us);
    const values = [
      last ? count(last.instances ?? 0) : "–", hoursOf(of), hoursOf(pace * share), isOver ? "–" : hoursOf(forecast * share),
      colour ? [bar(share * 100, 100, colour), h("span", { class: "spoken" }, percent(of, us))] : null,
      hoursOf(counted * 1e6), last ? bytes(last.bytes ?? 0) : "–", last?.samples ? ((last.bytes ?? 0) / last.samples).toFixed(2) : "–",
    ];
    return values.map((value, at) => h("td", { key: at, class: COLUMNS[at][1] }, at === 1 ? h("b", null, value) : value));
  };
  return h("div", { class: "usage-table" },
    h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Project"), COLUMNS.map(([text, name]) => h("th", { key: text, scope: "col", class: name }, text)))),
      h("tbody", null, projects.map(({ project, us: of, sentry_seconds }, place) => h("tr", { key: project },
        h("th", { scope: "row" }, h("span", { class: "row" }, dot(colourOf(place)), h("bdi", { class: "clip", title: nameOf(project) }, nameOf(project)))),
        cells(of, sentry_seconds, colourOf(place), recent.get(project))))),
      h("tfoot", null, h("tr", null, h("th", { scope: "row" }, "All"),
        cells(us, seconds, "", all.length > 0 ? { instances: sum("instances"), bytes: sum("bytes"), samples: sum("samples") } : undefined)))),
    h("p", { class: "usage-words" }, "One profile hour is one process profiled for one hour, however many threads it has. Sentry counts in the same way, but rounds each ",
      "profile to whole seconds. Instances, stored bytes and bytes a sample are of the last 24 h."));
}
