// @ts-check
// What is known of the selected function: its time, who calls it, what it calls, and what can be done with it.

import { h } from "./preact.js";
import { duration, percent } from "./format.js";
import { packageOf } from "./pills.js";
import { keyOf } from "./tree.js";

const ROWS = 8;

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {{tree: Tree, chosen: string, around: ?ReturnType<typeof import("./tree.js").neighbours>, add: (pill: import("./pills.js").Pill) => void, sandwich: () => void, select: (key: string) => void}} Props */

/** @param {Props} props */
export function Panel({ tree, chosen, around, add, sandwich, select }) {
  const func = tree.functions.find(func => keyOf(func) === chosen);
  if (!func || !around) return h("p", { class: "hint" }, chosen === "" ? "Select a frame to see who calls it and what it calls." : `${chosen} is not in what is shown.`);
  const { total, own, callers, callees } = around, library = packageOf(func), place = func.path ?? func.file ?? func.package;
  const action = (/** @type {string} */ text, /** @type {() => void} */ act) => h("button", { type: "button", onClick: act }, text);
  return h("div", { class: "panel" },
    h("h2", { title: func.name }, func.name),
    h("p", { class: "place" }, place ? place + (func.line ? ":" + func.line : "") : "no file known"),
    h("p", null, func.module && func.module !== place ? func.module : null),
    h("p", { class: "actions" },
      action("Focus", () => add({ kind: "focus", name: chosen })),
      action("Hide", () => add({ kind: "hide", name: chosen })),
      library && action(`Hide ${library}`, () => add({ kind: "hide-package", name: library })),
      action("Collapse recursion", () => add({ kind: "recursion", name: chosen })),
      action("Sandwich", sandwich)),
    h("dl", null,
      h("dt", null, "Self"), h("dd", null, h("b", null, duration(own)), ` ${percent(own, tree.all)}`),
      h("dt", null, "Total"), h("dd", null, h("b", null, duration(total)), ` ${percent(total, tree.all)}`)),
    rows("Called by", callers, total, tree, select),
    rows("Calls", callees, total, tree, select, own));
}

/** @param {string} title @param {{func: number, total: number}[]} list @param {number} all @param {Tree} tree @param {(key: string) => void} select
 *  @param {number} [self] */
function rows(title, list, all, tree, select, self = 0) {
  const shown = list.slice(0, ROWS).map(({ func, total }) => row(tree.functions[func].name, total, all, () => select(keyOf(tree.functions[func]))));
  const rest = list.slice(ROWS).reduce((sum, { total }) => sum + total, 0);
  return h("section", null,
    h("h3", null, title, h("span", null, "share of total")),
    self > 0 ? row("(self)", self, all, null) : null,
    shown,
    rest > 0 ? row(`${list.length - ROWS} others`, rest, all, null) : null,
    list.length === 0 && self === 0 ? h("p", { class: "hint" }, "nothing") : null);
}

/** @param {string} name @param {number} us @param {number} all @param {?(() => void)} act */
function row(name, us, all, act) {
  return h("div", { class: "neighbour" },
    act ? h("button", { type: "button", class: "link", title: name, onClick: act }, name) : h("span", null, name),
    h("span", { class: "bar" }, h("span", { style: { width: `${Math.min(100, us * 100 / Math.max(1, all))}%` } })),
    h("span", { class: "figure" }, percent(us, all)));
}
