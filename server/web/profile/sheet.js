// @ts-check
// What a chart shows, as a table in a dialog: for those who cannot see the chart, or want the figures.

import { Component, createRef, h } from "../vendor/preact.js";
import { count } from "../data/format.js";

/** More rows are not put on the page. */
const ROWS_MAX = 500;

/** A cell is a text, or a button with one. @typedef {string | {text: string, act: () => void}} Cell */
/** @typedef {{title: string, heads: string[], rows: Cell[][], close: () => void}} Props */

/** @extends {Component<Props>} */
export class Sheet extends Component {
  dialog = createRef();

  componentDidMount() {
    this.dialog.current.showModal();
  }

  render() {
    const { title, heads, rows, close } = this.props;
    const cell = (/** @type {Cell} */ cell) => typeof cell === "string" ? cell
      : h("button", { type: "button", class: "link", onClick: () => { close(); cell.act(); } }, cell.text);
    return h("dialog", { ref: this.dialog, class: "sheet", "aria-labelledby": "sheet-title", onClose: close,
      onKeyDown: (/** @type {any} */ event) => event.stopPropagation() },
      h("div", { class: "row" }, h("h2", { id: "sheet-title" }, title),
        h("button", { type: "button", class: "push", onClick: () => this.dialog.current.close() }, "Close")),
      h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": title },
        h("table", null, h("thead", null, h("tr", null, heads.map(head => h("th", { key: head, scope: "col" }, head)))),
          h("tbody", null, rows.slice(0, ROWS_MAX).map((row, at) => h("tr", { key: at },
            row.map((one, column) => h("td", { key: column, dir: "auto" }, cell(one)))))))),
      rows.length > ROWS_MAX ? h("p", { class: "hint" }, `${count(rows.length - ROWS_MAX)} more rows: choose a shorter window.`) : rows.length === 0
        ? h("p", { class: "hint" }, "There are none in this span.") : null);
  }
}
