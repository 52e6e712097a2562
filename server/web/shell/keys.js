// @ts-check
// The sheet of keys.

import { Component, createRef, h } from "../vendor/preact.js";

/** @type {[string[], string][]} */
const KEYS = [
  [["/"], "go to service, function, trace"], [["Ctrl F"], "search in this view"], [["Enter", "Shift Enter"], "next, previous match"], [["Esc"], "close, then clear, then zoom out"],
  [["1", "…", "6"], "views"], [["←", "→", "↑", "↓"], "move between frames or rows"], [["Enter"], "zoom to the frame"], [["Backspace"], "zoom out one step"],
  [["0"], "whole window"], [["W", "S"], "zoom in, out"], [["A", "D"], "pan"], [["Home", "End"], "first, last sibling"],
  [["F"], "focus on the function"], [["H", "Shift H"], "hide function, package"], [["R"], "collapse recursion"], [["T"], "fold the trunk"],
  [["B"], "callers and callees (sandwich)"], [["C"], "copy name and file:line"], [["O"], "open the source"], [["."], "more for the frame"],
  [["X"], "wall clock or on CPU"], [["K"], "colours"], [["[", "]"], "window back, on"], [["L"], "live on, off"], [["J", "K"], "trace: next, previous span"], [["G"], "trace: next gap"], [["Z"], "trace: zoom to the span"], [["?"], "this sheet"],
];

/** @extends {Component<{close: () => void}>} */
export class Keys extends Component {
  dialog = createRef();

  componentDidMount() {
    this.dialog.current.showModal();
  }

  render() {
    return h("dialog", { ref: this.dialog, class: "keys", "aria-labelledby": "keys-title", onClose: () => this.props.close() },
      h("h2", { id: "keys-title" }, "Keys"),
      h("p", { class: "hint" }, "Letters act while the graph, the tree or a table has the focus."),
      h("dl", null, KEYS.map(([keys, words]) => h("div", { key: words }, h("dt", null, keys.map(key => key === "…" ? " … " : h("kbd", { key }, key))), h("dd", null, words)))),
      h("form", { method: "dialog" }, h("button", { type: "submit" }, "Close")));
  }
}
