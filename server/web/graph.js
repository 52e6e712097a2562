// @ts-check
// A flame graph in the page: its canvas, its tooltip, and the selected frame in words.

import { Flame } from "./flame.js";
import { Component, createRef, h } from "./preact.js";

/** @typedef {{title: string, tree: import("./tree.js").Tree, hits: ?Uint8Array, chosen: string, select: (key: string) => void}} Props */

/** @extends {Component<Props>} */
export class Graph extends Component {
  canvas = createRef();
  tip = createRef();
  spoken = createRef();
  /** @type {?Flame} */ flame = null;

  componentDidMount() {
    this.flame = new Flame(this.canvas.current, this.tip.current, this.spoken.current, key => this.props.select(key));
    this.componentDidUpdate();
  }

  componentDidUpdate() {
    const { tree, hits, chosen } = this.props;
    this.flame?.show(tree, hits, chosen);
  }

  render() {
    return h("div", { class: "graph" },
      h("canvas", { ref: this.canvas, tabIndex: 0, role: "application", "aria-roledescription": "flame graph",
        "aria-label": `${this.props.title}: arrows move, Enter zooms, Escape goes back; the functions are in the table view, too` }),
      h("div", { ref: this.tip, class: "tip", hidden: true }),
      h("div", { ref: this.spoken, class: "spoken", role: "status" }));
  }
}
