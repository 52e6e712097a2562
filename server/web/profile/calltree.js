// @ts-check
// The call tree as rows that open and close. Only the rows in view are on the page.

import { Component, createRef, h } from "../vendor/preact.js";
import { dotOfFunc, labelOf } from "../data/colour.js";
import { duration, percent } from "../data/format.js";
import { closed, ends, hotPath, opened, pathOf, rows } from "../data/outline.js";
import { frameOf, keyOf, nodeOf, parents } from "../data/tree.js";
import { icon } from "../shell/icons.js";
import { bar, dot, kept } from "../shell/parts.js";
import { placeOf } from "./actions.js";
import { inView, marked, moved, revealed, ROW } from "./rows.js";

const HEAD = 30;
/** A step to the right, pixels; less where the rows are deep. */
const STEP = 10, DEEP = 360;

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {import("../data/outline.js").Row} Row */
/** `frame` names the selected row; `menu` is opened at a point of the window; `point` tells of a function under the pointer.
 *  @typedef {{tree: Tree, by: "total" | "own", sort: (by: string) => void, ranges: (text: string) => [number, number][], chosen: string, frame: string,
 *  pointed: string,
 *  select: (key: string, frame: string) => void, menu: (at: {x: number, y: number, key: string}) => void, point: (key: string) => void}} Props */

/** @param {import("../data/tree.js").Func} func */
export const kindDot = func => dot(dotOfFunc(func));

/** @extends {Component<Props, {top: number, high: number, turn: number}>} */
export class CallTree extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** `turn` rises when something opened or closed. @type {{top: number, high: number, turn: number}} */ this.state = { top: 0, high: 600, turn: 0 };
    this.box = createRef();
    /** @type {import("../data/outline.js").Open} */ this.open = new Map();
    this.ends = kept(ends);
    this.parents = kept((/** @type {Tree} */ tree) => parents(tree));
    this.rows = kept((/** @type {Tree} */ tree, /** @type {"total" | "own"} */ by, /** @type {number} */ _turn) => rows(tree, this.ends(tree), this.open, by));
    this.selected = kept((/** @type {Tree} */ tree, /** @type {string} */ frame, /** @type {string} */ chosen) => selectedNode(tree, frame, chosen));
    const { tree, frame, chosen } = props, node = this.selected(tree, frame, chosen), first = node < 0 ? hotPath(tree, this.ends(tree)) : node;
    opened(this.open, pathOf(tree, this.parents(tree), first).slice(0, node < 0 ? undefined : -1));
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.setState({ high: this.box.current.clientHeight }));
    this.observer.observe(this.box.current);
    this.reveal();
  }

  componentWillUnmount() {
    this.observer?.disconnect();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    const { frame, chosen } = this.props;
    if (frame !== before.frame || chosen !== before.chosen) this.reveal();
  }

  node() {
    const { tree, frame, chosen } = this.props;
    return this.selected(tree, frame, chosen);
  }

  shown() {
    return this.rows(this.props.tree, this.props.by, this.state.turn);
  }

  /** Opens what is above the selected row, and scrolls to it. */
  reveal() {
    const node = this.node(), { tree } = this.props, box = this.box.current;
    if (node < 0) return;
    if (!this.shown().some(row => row.node === node)) {
      opened(this.open, pathOf(tree, this.parents(tree), node).slice(0, -1));
      this.setState({ turn: this.state.turn + 1 }, () => this.reveal());
      return;
    }
    const at = this.shown().findIndex(row => row.node === node);
    box.scrollTop = revealed(at, box.scrollTop, box.clientHeight - HEAD);
  }

  /** @param {number} node */
  choose(node) {
    const { tree, select } = this.props;
    select(keyOf(tree.functions[tree.func[node]]), frameOf(tree, node));
  }

  /** @param {Row} row */
  toggle({ node, isOpen }) {
    const { tree } = this.props, path = pathOf(tree, this.parents(tree), node);
    if (isOpen) closed(this.open, path); else opened(this.open, path);
    this.setState({ turn: this.state.turn + 1 });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.box.current) return;
    const list = this.shown(), node = this.node(), at = list.findIndex(row => row.node === node), row = list[at], { tree } = this.props;
    const to = moved(event.key, at, list.length, this.state.high - HEAD);
    if (to !== undefined) this.choose(list[to].node);
    else if (event.key === "ArrowRight") {
      if (row && row.hasMore && !row.isOpen) this.toggle(row); else if (row?.isOpen) this.choose(list[at + 1].node);
        else if (!row && list[0]) this.choose(list[0].node);
    } else if (event.key === "ArrowLeft") {
      const parent = row ? this.parents(tree)[node] : -1;
      if (row?.isOpen) this.toggle(row); else if (parent >= 0) this.choose(parent);
    } else if (event.key === "Enter" && row?.hasMore) this.toggle(row);
    else if (event.key === "." && row) {
      const { left, top } = this.box.current.getBoundingClientRect();
      this.props.menu({ x: left + 280, y: top + HEAD + (at + 1) * ROW - this.box.current.scrollTop, key: keyOf(tree.functions[tree.func[node]]) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  render() {
    const { tree, by, sort, point } = this.props, list = this.shown(), { top, high } = this.state, { first, last } = inView(top, high - HEAD, list.length),
      node = this.node();
    const deepest = list.slice(first, last).reduce((most, { depth }) => Math.max(most, depth), 1), step = Math.max(2, Math.min(STEP, DEEP / deepest));
    const head = (/** @type {"total" | "own"} */ column, /** @type {string} */ text) =>
      h("span", { role: "columnheader", class: "figure", "aria-sort": by === column ? "descending" : "none" },
      h("button", { type: "button", onClick: () => sort(column) }, text));
    return h("div", {
      ref: this.box, class: "calltree scroll", role: "treegrid", tabIndex: 0, "aria-label": "Call tree", "aria-rowcount": list.length + 1,
      "aria-readonly": "true",
      "aria-activedescendant": node >= 0 && list.slice(first, last).some(row => row.node === node) ? `call-${node}` : undefined,
      onKeyDown: (/** @type {any} */ event) => this.key(event), onScroll: (/** @type {any} */ event) => this.setState({ top: event.currentTarget.scrollTop }),
      onPointerLeave: () => point(""),
    },
    h("div", { role: "rowgroup", class: "head" }, h("div", { role: "row", class: "line", "aria-rowindex": 1 },
      head("total", "Total"), h("span", { role: "columnheader", class: "figure time" }, "Time"), head("own", "Self"),
      h("span", { role: "columnheader", class: "share" }, h("span", { class: "spoken" }, "Share")),
      h("span", { role: "columnheader" }, "Function"), h("span", { role: "columnheader", class: "file" }, "File"))),
    h("div", { role: "rowgroup", class: "rows", style: { height: `${list.length * ROW}px` } },
      list.slice(first, last).map((row, at) => this.row(row, first + at, row.node === node, step))));
  }

  /** @param {Row} row @param {number} at @param {boolean} isSelected @param {number} step */
  row(row, at, isSelected, step) {
    const { tree, ranges, pointed, menu, point } = this.props, { node, depth, isOpen, hasMore, size, place } = row, func = tree.functions[tree.func[node]],
      key = keyOf(func);
    return h("div", {
      key: node, id: `call-${node}`, role: "row", class: "line" + (isSelected ? " selected" : "") + (pointed === key ? " pointed" : ""),
      style: { top: `${at * ROW}px` }, "aria-selected": String(isSelected),
      "aria-level": depth + 1, "aria-setsize": size, "aria-posinset": place, "aria-rowindex": at + 2, "aria-expanded": hasMore ? String(isOpen) : undefined,
      onClick: () => this.choose(node), onDblClick: () => { if (hasMore) this.toggle(row); }, onPointerEnter: () => point(key),
      onContextMenu: (/** @type {any} */ event) => { event.preventDefault(); this.choose(node); menu({ x: event.clientX, y: event.clientY, key }); },
    },
    h("span", { role: "gridcell", class: "figure" }, percent(tree.total[node], tree.all)),
    h("span", { role: "gridcell", class: "figure time" }, duration(tree.total[node])),
    h("span", { role: "gridcell", class: "figure quiet" }, duration(tree.own[node])),
    h("span", { role: "gridcell", class: "share" }, bar(tree.total[node], tree.all)),
    h("span", { role: "gridcell", class: "name", style: { paddingLeft: `${depth * step}px` } },
      hasMore ? h("span", { class: "twist", "aria-hidden": "true", onClick: (/** @type {any} */ event) => { event.stopPropagation(); this.toggle(row); } },
        icon(isOpen ? "down" : "right")) : h("span", { class: "twist" }),
      kindDot(func), h("span", { class: "clip", dir: "auto", title: func.name.slice(0, 400) }, marked(labelOf(func).slice(0, 400), ranges))),
    h("span", { role: "gridcell", class: "file clip mono", dir: "auto" }, marked(placeOf(func).slice(0, 400), ranges)));
  }
}

/** The row that is selected: the frame, where it is in this tree; else the largest of the function. @param {Tree} tree @param {string} frame
 *  @param {string} chosen */
function selectedNode(tree, frame, chosen) {
  if (chosen === "") return -1;
  const known = frame === "" ? -1 : nodeOf(tree, frame), func = tree.functions.findIndex(func => keyOf(func) === chosen);
  if (known >= 0 && tree.func[known] === func) return known;
  let largest = -1;
  for (let node = 0; node < tree.depth.length; node++) if (tree.func[node] === func && (largest < 0 || tree.total[node] > tree.total[largest])) largest = node;
  return largest;
}
