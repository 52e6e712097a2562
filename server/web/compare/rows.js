// @ts-check
// The functions of both sides, what changed, and how much of that is noise.

import { h } from "../vendor/preact.js";
import { dotOfFunc, isUnnamed } from "../data/colour.js";
import { keyOf } from "../data/tree.js";
import { chip, dot, Switch } from "../shell/parts.js";
import { difference, figure, noiseOf } from "./measure.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./measure.js").Row} Row */
/** @typedef {import("../data/tree.js").Func} Func */
/** `test` is what the search asks; `zoom` goes to a function in the graph.
 *  @typedef {{rows: Row[], functions: Func[], measure: import("./measure.js").Measure, isCpu: boolean, shown: Shown, test: ?((func: Func) => boolean),
 *  set: (change: Partial<Shown>, isSmall?: boolean) => void, zoom: (func: number) => void}} Props */

const ROWS = 300;
const COLUMNS = ["c-function", "c-file", "c-a", "c-b", "c-change", "c-bar", "c-noise", "c-words"];

/** @param {Props} props */
export function Rows({ rows, functions, measure, isCpu, shown, test, set, zoom }) {
  const found = (test ? rows.filter(({ func }) => test(functions[func])) : rows.slice()).sort(orders[shown.sort](functions)), list = found.slice(0, ROWS);
  const most = Math.max(1e-12, ...list.map(({ change }) => Math.abs(change))), unit = { share: "pt", request: "per request", cores: isCpu ? "cores" : "threads" }[measure];
  const head = (/** @type {Shown["sort"]} */ sort, /** @type {string} */ text, more = "figure") =>
    h("th", { scope: "col", class: more, "aria-sort": shown.sort !== sort ? "none" : sort === "name" ? "ascending" : "descending" },
      h("button", { type: "button", onClick: () => set({ sort }, true) }, text));
  const what = shown.self ? "self" : "total", choose = (/** @type {string} */ which) => set({ self: which === "self" }, true);
  const line = (/** @type {Row} */ row) => {
    const func = functions[row.func], key = keyOf(func);
    // Once more, and the graph goes there.
    return rowOf(row, func, measure, most, key === shown.f, () => key === shown.f ? zoom(row.func) : set({ f: key }, true));
  };
  return h("section", { class: "compared-rows scroll", "aria-label": "Functions" },
    h("table", null,
      h("colgroup", null, COLUMNS.map(name => h("col", { key: name, class: name }))),
      h("thead", null, h("tr", null,
        head("name", "Function", ""), h("th", { scope: "col", class: "c-file" }, "File"), head("a", `A ${what}`), head("b", `B ${what}`), head("change", `Change, ${unit}`),
        h("th", { scope: "col", class: "less-more" }, h("span", null, "less"), h("span", null, "more")), head("noise", "Noise ±", "figure c-noise"),
        h("th", { scope: "col", class: "c-words" }, h(Switch, { name: "Time of a function", chosen: what, options: [["total", "Total"], ["self", "Self"]], choose })))),
      h("tbody", null, list.map(line))),
    h("p", { class: "spoken", role: "status" }, test ? `${found.length} functions match` : ""),
    found.length === 0 ? h("p", { class: "hint" }, test ? `No function or file matches ${shown.q}.` : "No function.") : null,
    found.length > ROWS ? h("p", { class: "hint" }, `${found.length - ROWS} more: search narrows them down.`) : null);
}

/** @param {Row} row @param {Func} func @param {import("./measure.js").Measure} measure @param {number} most the largest change @param {boolean} isChosen @param {() => void} choose */
function rowOf({ func: index, a, b, change, noise, isNoise, only }, func, measure, most, isChosen, choose) {
  const place = func.path ?? func.file ?? func.package ?? "", line = func.line ? `:${func.line}` : "", level = isNoise ? "noise" : change > 0 ? "more" : "less";
  const width = `${Math.abs(change) * 50 / most}%`, isAddress = only !== "" && isUnnamed(func), title = isChosen ? `${func.name}: again to zoom to it` : func.name;
  const words = isAddress ? "A function without a name: its address differs from process to process" : "";
  return h("tr", { key: index, class: isChosen ? "selected" : "", onClick: choose },
    h("td", null, h("span", { class: "name" }, dot(dotOfFunc(func)),
      h("button", { type: "button", class: "link clip", title, "aria-current": isChosen ? "true" : undefined }, h("bdi", null, func.name)),
      only ? chip(`only in ${only.toUpperCase()}`, "acc") : null)),
    h("td", { class: "mono c-file", title: place + line }, h("bdi", null, place.split("/").slice(-2).join("/")), line),
    h("td", { class: "figure" }, only === "b" ? "–" : figure(measure, a)), h("td", { class: "figure b" }, only === "a" ? "–" : figure(measure, b)),
    h("td", { class: "figure change " + level }, difference(measure, change)),
    h("td", { "aria-hidden": "true" }, h("span", { class: "both-ways" }, h("span", { class: level, style: change < 0 ? { right: "50%", width } : { left: "50%", width } }))),
    h("td", { class: "figure c-noise" }, noiseOf(measure, noise)),
    h("td", { class: "c-words", title: words }, isNoise ? "inside the noise" : isAddress ? "unnamed" : ""));
}

/** @type {Record<Shown["sort"], (functions: Func[]) => (a: Row, b: Row) => number>} */
const orders = {
  // What is beyond the noise comes first: a large share of a few samples is not a large change.
  change: () => (x, y) => Number(x.isNoise) - Number(y.isNoise) || Math.abs(y.change) - Math.abs(x.change),
  name: functions => (x, y) => functions[x.func].name.localeCompare(functions[y.func].name),
  a: () => (x, y) => y.a - x.a, b: () => (x, y) => y.b - x.b, noise: () => (x, y) => y.noise - x.noise,
};
