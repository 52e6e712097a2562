// @ts-check
// What the slowest transactions of a name do more than those of the middle, as far as that is more than noise.

import { h } from "../vendor/preact.js";
import { count, points } from "../data/format.js";
import { bandOf, dotOf } from "../data/colour.js";
import { func } from "../data/api.js";
import { isDark } from "../shell/theme.js";
import { dot } from "../shell/parts.js";
import { beyondNoise } from "./rows.js";

/** @param {{difference: any}} props as `/transactions/difference` answers */
export function Slowest({ difference }) {
  const { transactions, base_transactions } = difference, rows = beyondNoise(difference.functions);
  const of = `${count(transactions)} slow and ${count(base_transactions)} usual ones have a profile`;
  if (transactions === 0 || base_transactions === 0) return h("p", { class: "hint" }, `Too few to compare: ${of}. A longer span of time has more.`);
  if (rows.length === 0) return h("p", { class: "hint" }, `No function differs by more than sampling noise: ${of}.`);
  const most = Math.abs(rows[0].own.difference);
  return h("table", { class: "tx-more" },
    h("thead", { class: "spoken-head" }, h("tr", null,
      h("th", { scope: "col" }, "Function"), h("th", { scope: "col", class: "figure at-points" }, "Share of own time"), h("th", { scope: "col", class: "at-bar" }, "Change"))),
    h("tbody", null, rows.map(({ function: of, own }, at) => {
      const row = func([of.name, of.module, of.package, of.file, of.path, of.line, of.in_app]), where = row.file ?? row.package ?? row.module ?? "";
      const kind = own.difference > 0 ? "more" : "less", width = `${Math.abs(own.difference) * 100 / most}%`, words = `95 % sampling error: ${points(own.error_95).slice(1)}`;
      return h("tr", { key: at },
        h("td", { title: `${row.name.slice(0, 300)} ${row.path ?? where}`.trim() }, dot(dotOf(bandOf(row), isDark())), h("span", { dir: "auto" }, row.name), " ",
          h("span", { class: "mono soft", dir: "auto" }, where + (where && row.line ? `:${row.line}` : ""))),
        h("td", { class: "figure " + kind, title: words }, h("b", null, points(own.difference))),
        h("td", null, h("span", { class: "bar wide", "aria-hidden": "true" }, h("span", { class: kind, style: { width } }))));
    })));
}
