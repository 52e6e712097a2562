// @ts-check
// The functions of what is shown, as a table that sorts by what is clicked.

import { Component, h } from "./preact.js";
import { duration, percent } from "./format.js";
import { keyOf } from "./tree.js";

const ROWS = 300;

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {"own" | "total" | "name"} Column */
/** @typedef {{tree: Tree, rows: ReturnType<typeof import("./tree.js").hottest>, hits: ?Uint8Array, chosen: string, select: (key: string) => void}} Props */

/** @type {[Column, string][]} */
const COLUMNS = [["own", "Self"], ["total", "Total"], ["name", "Function"]];

/** @extends {Component<Props, {by: Column}>} */
export class Table extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{by: Column}} */ this.state = { by: "own" };
  }

  render() {
    const { tree, rows: all, hits, chosen, select } = this.props, { by } = this.state;
    const rows = all.filter(({ func }) => !hits || hits[func]);
    const nameOf = (/** @type {number} */ func) => tree.functions[func].name;
    if (by !== "own") rows.sort((a, b) => by === "total" ? b.total - a.total : nameOf(a.func).localeCompare(nameOf(b.func)));
    return h("div", { class: "scroll" },
      h("table", { "aria-rowcount": rows.length },
        h("thead", null, h("tr", null, COLUMNS.map(([column, text]) =>
          h("th", { scope: "col", "aria-sort": by !== column ? "none" : column === "name" ? "ascending" : "descending" },
            h("button", { type: "button", class: "head", onClick: () => this.setState({ by: column }) }, text))))),
        h("tbody", null, rows.slice(0, ROWS).map(({ func, own, total }) => {
          const { name, module, package: library, file, line } = tree.functions[func], key = keyOf(tree.functions[func]);
          return h("tr", { key: func, class: key === chosen ? "selected" : "" },
            h("td", null, duration(own), h("small", null, percent(own, tree.all))),
            h("td", null, duration(total), h("small", null, percent(total, tree.all))),
            h("td", null, h("button", { type: "button", class: "link", title: name, onClick: () => select(key) }, name),
              h("small", null, module ?? library ?? "", file ? ` · ${file}${line ? ":" + line : ""}` : "")));
        }))),
      rows.length > ROWS ? h("p", { class: "hint" }, `${rows.length - ROWS} more; search narrows them down`) : null);
  }
}
