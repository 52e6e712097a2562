// @ts-check
// The functions of what is shown, as a table that sorts by what is clicked. Only the rows in view are on the page.

import { Component, createRef, h } from "../vendor/preact.js";
import { dotOfFunc, labelOf } from "../data/colour.js";
import { count, duration, percent } from "../data/format.js";
import { packageOf } from "../data/pills.js";
import { keyOf } from "../data/tree.js";
import { bar, kept } from "../shell/parts.js";
import { placeOf } from "./actions.js";
import { kindDot } from "./calltree.js";
import { inView, marked, moved, revealed, ROW } from "./rows.js";

const HEAD = 30;

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {ReturnType<typeof import("../data/tree.js").hottest>} Rows */
/** @typedef {"name" | "package" | "own" | "total" | "ticks"} Column */
/** `ticks` by function's key, null where they are not known yet; `only`: what is not found is left out; `isSmall`: shares alone.
 *  @typedef {{tree: Tree, rows: Rows, hits: ?Uint8Array, ranges: (text: string) => [number, number][], ticks: ?Map<string, number>, sort: string,
 *  setSort: (sort: string) => void, isSmall?: boolean, chosen: string, pointed: string,
 *  select: (key: string) => void, menu: (at: {x: number, y: number, key: string}) => void, point: (key: string) => void}} Props */

/** Names upwards, figures downwards; a `-` in front turns that around. @param {Tree} tree @param {Rows} all @param {?Uint8Array} hits
 *  @param {?Map<string, number>} ticks @param {string} sort @returns {Rows} */
export function sorted(tree, all, hits, ticks, sort) {
  const rows = hits ? all.filter(({ func }) => hits[func]) : [...all], turned = sort.startsWith("-") ? -1 : 1, by = sort.replace("-", "");
  const text = (/** @type {number} */ func) => by === "package" ? packageOf(tree.functions[func]) ?? "" : tree.functions[func].name;
  const value = (/** @type {Rows[0]} */ row) => by === "total" ? row.total : by === "ticks" ? ticks?.get(keyOf(tree.functions[row.func])) ?? 0 : row.own;
  const compare = by === "name" || by === "package" ? (/** @type {Rows[0]} */ a, /** @type {Rows[0]} */ b) => text(a.func).localeCompare(text(b.func))
    : (/** @type {Rows[0]} */ a, /** @type {Rows[0]} */ b) => value(b) - value(a);
  return rows.sort((a, b) => turned * compare(a, b) || b.own - a.own || b.total - a.total);
}

/** @param {?Map<string, number>} ticks @param {string} key */
function ticksOf(ticks, key) {
  const many = ticks?.get(key);
  return many === undefined ? ticks ? "–" : "…" : many < 0.5 ? "<1" : count(many);
}

/** A library without its directory. @param {?string} library */
const shortOf = library => library === null ? "" : library.slice(library.lastIndexOf("/") + 1);

/** @extends {Component<Props, {top: number, high: number}>} */
export class Table extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{top: number, high: number}} */ this.state = { top: 0, high: 600 };
    this.box = createRef();
    this.sorted = kept(sorted);
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
    if (before.chosen !== this.props.chosen) this.reveal();
  }

  shown() {
    const { tree, rows, hits, ticks, sort } = this.props;
    return this.sorted(tree, rows, hits, sort.endsWith("ticks") ? ticks : null, sort);
  }

  at() {
    const { tree, chosen } = this.props;
    return chosen === "" ? -1 : this.shown().findIndex(({ func }) => keyOf(tree.functions[func]) === chosen);
  }

  reveal() {
    const at = this.at(), box = this.box.current;
    if (at >= 0) box.scrollTop = revealed(at, box.scrollTop, box.clientHeight - HEAD);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.box.current) return;
    const list = this.shown(), at = this.at(), to = moved(event.key, at, list.length, this.state.high - HEAD), { tree, select, menu, chosen } = this.props;
    if (to !== undefined) select(keyOf(tree.functions[list[to].func]));
    else if (event.key === "." && at >= 0) {
      const { left, top } = this.box.current.getBoundingClientRect();
      menu({ x: left + 120, y: top + HEAD + (at + 1) * ROW - this.box.current.scrollTop, key: chosen });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  render() {
    const { tree, sort, setSort, isSmall = false, point, hits } = this.props, list = this.shown(), { top, high } = this.state,
      { first, last } = inView(top, high - HEAD, list.length), at = this.at();
    const most = list.reduce((most, { own }) => Math.max(most, own), 1), columns = isSmall ? 3 : 8;
    const head = (/** @type {Column} */ column, /** @type {string} */ text, more = "") => {
      const isText = column === "name" || column === "package", isBy = sort.replace("-", "") === column, isTurned = sort.startsWith("-");
      return h("th", { scope: "col", class: `${column} ${more}`, "aria-sort": !isBy ? "none" : isText !== isTurned ? "ascending" : "descending" },
        h("button", { type: "button", onClick: () => setSort(isBy && !isTurned ? "-" + column : column) }, text));
    };
    const space = (/** @type {number} */ rows) => rows > 0 ? h("tr", { "aria-hidden": "true", class: "space" },
      h("td", { colSpan: columns, style: { height: `${rows * ROW}px` } })) : null;
    return h("div", { class: "functions" + (isSmall ? " small" : "") },
      h("div", {
        ref: this.box, class: "scroll", tabIndex: 0, role: "grid", "aria-readonly": "true", "aria-label": "Functions", "aria-rowcount": list.length + 1,
        "aria-activedescendant": at >= first && at < last ? `function-${list[at].func}` : undefined,
        onKeyDown: (/** @type {any} */ event) => this.key(event), onScroll: (/** @type {any} */ event) => this.setState({ top: event.currentTarget.scrollTop }),
        onPointerLeave: () => point(""),
      },
      h("table", { role: "presentation" },
        h("thead", { role: "rowgroup" }, h("tr", { role: "row", "aria-rowindex": 1 },
          isSmall ? [head("name", "Function"), head("own", "Self", "figure"), head("total", "Total", "figure")]
            : [head("name", "Function"), head("package", "Package"), head("own", "Self", "figure"), h("th", { scope: "col", class: "figure percent" }, "Self %"),
              h("th", { scope: "col", class: "share" }, h("span", { class: "spoken" }, "Share")),
              head("total", "Total", "figure"), h("th", { scope: "col", class: "figure percent" }, "Total %"), head("ticks", "Ticks", "figure")])),
        h("tbody", { role: "rowgroup" }, space(first), list.slice(first, last).map((row, place) => this.row(row, first + place, first + place === at, most)),
          space(list.length - last)))),
      list.length === 0 ? h("p", { class: "hint" }, hits ? "No function is found." : "There are none.") : null);
  }

  /** @param {Rows[0]} row @param {number} place @param {boolean} isSelected @param {number} most */
  row({ func: index, own, total }, place, isSelected, most) {
    const { tree, ranges, ticks, isSmall, pointed, select, menu, point } = this.props, func = tree.functions[index], key = keyOf(func), library = packageOf(func),
      where = placeOf(func);
    const name = h("td", { role: "gridcell", class: "name", title: func.name.slice(0, 400) }, kindDot(func),
      h("span", { dir: "auto" }, marked(labelOf(func).slice(0, 400), ranges)),
      isSmall ? null : h("small", { class: "mono", dir: "auto" }, marked(where.slice(where.lastIndexOf("/") + 1).slice(0, 400), ranges)));
    const cell = (/** @type {string} */ text, more = "") => h("td", { role: "gridcell", class: "figure " + more }, text);
    return h("tr", {
      key: index, id: `function-${index}`, role: "row", "aria-rowindex": place + 2, "aria-selected": String(isSelected), class: pointed === key ? "pointed" : "",
      onClick: () => select(key), onPointerEnter: () => point(key),
      onContextMenu: (/** @type {any} */ event) => { event.preventDefault(); select(key); menu({ x: event.clientX, y: event.clientY, key }); },
    }, name, isSmall ? [cell(percent(own, tree.all), "quiet"), cell(percent(total, tree.all))] : [
      h("td", { role: "gridcell", class: "clip", dir: "auto", title: library?.slice(0, 400) }, marked(shortOf(library).slice(0, 200), ranges)),
      cell(duration(own)), cell(percent(own, tree.all), "strong"), h("td", { role: "gridcell", class: "share" }, bar(own, most, dotOfFunc(func))),
      cell(duration(total)), cell(percent(total, tree.all)), cell(ticksOf(ticks, key)),
    ]);
  }
}
