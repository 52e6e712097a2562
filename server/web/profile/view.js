// @ts-check
// The view that is chosen: flame graph, time order, inverted, sandwich, call tree, functions; or why there is nothing.

import { Component, h } from "../vendor/preact.js";
import { span as spanWords } from "../data/axis.js";
import { count, percent } from "../data/format.js";
import { frameOf, keyOf } from "../data/tree.js";
import { Nothing } from "../shell/parts.js";
import { placeOf } from "./actions.js";
import { CallTree, kindDot } from "./calltree.js";
import { Graph } from "./graph.js";
import { Order } from "./order.js";
import { modeOf } from "./strip.js";
import { Table } from "./table.js";

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {import("./address.js").Shown} Shown */
/** `whole` is what was answered, `before` that of the clock, `tree` that with the transforms. `selected`: what it is of,
 *  as parameters; `threads`: the chosen ones in words.
 *  @typedef {{shown: Shown, whole: Tree, before: Tree, tree: Tree, made: import("./derived.js").Derived, data: Record<string, any>, transactions: any[],
 *  selected: import("../data/api.js").Parameters, span: ?{from_us: number, to_us: number},
 *  threads: string, func: ?import("../data/tree.js").Func, live: boolean, tick: number, pointed: string, isPointed: () => boolean, isFolded: boolean,
 *  fold: () => void, go: (change: Partial<Shown>, isSmall?: boolean) => void,
 *  select: (key: string, frame?: string) => void, menu: (at: {x: number, y: number, key: string}) => void, point: (key: string) => void}} Props */

/** @extends {Component<Props>} */
export class View extends Component {
  /** @type {any} */ graph = null;
  /** The tree that was seen when the pointer came. @type {?Tree} */ seen = null;

  /** @param {1 | -1} way to the next function or frame that the search finds */
  next(way) {
    const { tree, shown: { q, rx, view, f, s }, made, go } = this.props, { test, error } = made.search(q, rx);
    if (q === "" || error) return;
    if (view === "flame" || view === "inverted" || view === "time") { this.graph?.next(way); return; }
    if (view === "functions" || view === "sandwich") {
      const { hits } = made.found(tree, test), keys = made.hottest(tree).filter(({ func }) => hits[func]).map(({ func }) =>
        keyOf(tree.functions[func]));
      if (keys.length > 0) go({ f: keys[turned(keys.indexOf(f), way, keys.length)] }, true);
      return;
    }
    const { nodes } = made.found(tree, test), at = nodes.findIndex(node => frameOf(tree, node) === s), node = nodes[turned(at, way, nodes.length)];
    if (node !== undefined) go({ f: keyOf(tree.functions[tree.func[node]]), s: frameOf(tree, node) }, true);
  }

  /** The tree that the graph shows: of a live page it keeps its order as long as a pointer is on it. @param {Tree} tree */
  still(tree) {
    if (!this.props.live || !this.props.isPointed() || !this.seen) { this.seen = tree; return tree; }
    return this.props.made.inOrder(tree, this.seen);
  }

  render() {
    const { shown, made, data, tree, before, pointed, select, menu, point, go, isFolded, fold, selected, transactions, tick } = this.props,
      { q, rx, f, s, z, view } = shown;
    if (tree.depth.length === 0) return this.empty();
    const { test, ranges, error } = made.search(q, rx), seeks = q !== "" && !error, matches = seeks ? made.found(tree, test) : null, hits = matches?.hits ?? null;
    if (matches && matches.frames === 0) {
      const gone = made.hidden(before, tree, test), words = rx ? `/${q}/` : q;
      return h(Nothing, { title: `No function or file matches ${words}.`,
        text: gone > 0 ? `${count(gone)} hidden ${gone === 1 ? "function does" : "functions do"}.` : undefined, actions: [
        ...gone > 0 ? [{ text: "Show them", act: () => go({ fx: [] }) }] : [], { text: "Clear the search", act: () => go({ q: "" }, true) }] });
    }
    const common = { ranges, chosen: f, pointed, select, menu, point };
    // The row of a folded trunk unfolds it; other keys are the page's.
    const unfold = (/** @type {string} */ name) => { if (name === "trunk") fold(); return name === "trunk"; };
    const graph = (/** @type {string} */ title, /** @type {Tree} */ of, /** @type {object} */ more = {}) => h(Graph, {
      key: title, ref: (/** @type {any} */ graph) => { this.graph = graph; }, title, tree: of, hits, chosen: f, select, frame: s, zoom: z,
      onZoom: z => go({ z }), mode: /** @type {any} */ (modeOf(shown)[0]), fold: isFolded, act: unfold,
      pointed, onPoint: point, menu, up: shown.up, flip: () => go({ up: !shown.up }), ...more,
    });
    const table = (/** @type {boolean} */ isSmall) => h(Table, { key: isSmall ? "small" : "table", tree, rows: made.hottest(tree), hits,
      ticks: data.functions ? made.ticks(data.functions) : null,
      sort: shown.sort || (isSmall ? "total" : "own"), setSort: sort => go({ sort }, true), isSmall, ...common });
    switch (view) {
      case "inverted": return graph("Inverted flame graph", made.inverted(tree), { fold: false });
      case "sandwich": return this.sandwich(tree, graph, table(true));
      case "tree": return h(CallTree, { key: "tree", tree, by: shown.sort === "own" ? "own" : "total", sort: sort => go({ sort }, true), frame: s,
        ...common });
      case "functions": return table(false);
      case "time": return h(Order, {
        key: "time", ref: (/** @type {any} */ order) => { this.graph = order; }, asked: selected, samples: before.seen, tick,
        pills: shown.fx, test: seeks ? test : null, chosen: f, select, fold: isFolded, act: unfold,
        mode: /** @type {any} */ (modeOf(shown)[0]), transactions: shown.tid.length === 1 ? made.oneThread(transactions, shown.tid[0]) : NONE,
        narrow: (from, to) => go({ w0: String(from), w1: String(to) }), menu,
        pointed, onPoint: point,
      });
      default: return graph("Flame graph", this.still(tree));
    }
  }

  /** @param {Tree} tree @param {(title: string, of: Tree, more?: object) => import("../vendor/preact.js").Child} graph
   *  @param {import("../vendor/preact.js").Child} table */
  sandwich(tree, graph, table) {
    const { shown: { f }, made, func, go } = this.props, around = f === "" ? null : made.neighbours(tree, f);
    if (!around || !func || around.total === 0) return h("div", { class: "sandwich" }, table,
      h("div", { class: "layers" }, h(Nothing, { title: "Select a function", text: "Its callers stand above it, what it calls below." })));
    const where = placeOf(func), share = (/** @type {number} */ us) => h("b", null, percent(us, tree.all)), seen = around.above.samples?.total[0];
    const shares = (/** @type {Tree} */ of) => (/** @type {number} */ node) => percent(of.total[node], tree.all);
    const layer = { quiet: true, fold: false, frame: undefined, zoom: undefined, onZoom: undefined,
      select: (/** @type {string} */ f) => go({ f, s: "" }, true) };
    return h("div", { class: "sandwich" }, table, h("div", { class: "layers" },
      h("div", { class: "layer-head" }, h("b", null, "Callers"), h("span", null, "nearest at the bottom")),
      graph("Callers", around.above, { ...layer, shares: shares(around.above), up: true }),
      h("div", { class: "centre" }, kindDot(func), h("b", { class: "clip", dir: "auto" }, func.name.slice(0, 400)),
        h("span", { class: "clip mono", dir: "auto" }, where.slice(0, 400)),
        h("span", { class: "figures" }, "self ", share(around.own), " · total ", share(around.total), seen === undefined ? "" : ` · ${count(seen)} samples`)),
      graph("Callees", around.below, { ...layer, shares: shares(around.below), up: false }),
      h("div", { class: "layer-head foot" }, h("b", null, "Callees"), h("span", null, "nearest at the top"))));
  }

  /** Nothing is there, and why. */
  empty() {
    const { shown, data, before, whole, span, threads, go } = this.props, actions = [];
    if (before.depth.length > 0) return h(Nothing, { title: "The transforms leave nothing of it.",
      actions: [{ text: "Remove all", act: () => go({ fx: [] }) }] });
    const who = shown.tid.length > 0 ? ` of ${threads}` : "",
      when = span ? ` between ${spanWords(span.from_us, span.to_us).replace(" – ", " and ")}` : "";
    if (shown.clock === "cpu") actions.push({ text: "Show wall clock", act: () => go({ clock: "wall" }) });
    if (shown.tid.length > 0) actions.push({ text: "All threads", act: () => go({ tid: [] }) });
    if (shown.w0) actions.push({ text: "The whole span", act: () => go({ w0: "", w1: "" }) });
    const slept = shown.clock === "cpu" && whole.all > 0, states = whole.states ?? [];
    const text = slept ? states.every(({ name }) => name === "unknown") ? "Whether a thread ran is not known of these profiles." : shown.tid.length === 1
      ? "The thread was asleep the whole time." : "All threads were asleep the whole time."
      : data.services?.sessions.length === 0 ? "No process was profiled in this span of time. Choose another span at the top."
        : "Choose another window, thread or instance.";
    return h(Nothing, { title: `No samples${who}${when}.`, text, actions });
  }
}

/** @type {any[]} */
const NONE = [];

/** The next place of so many. @param {number} at -1: none @param {1 | -1} way @param {number} many */
const turned = (at, way, many) => at < 0 ? way > 0 ? 0 : many - 1 : (at + way + many) % many;
