// @ts-check
// The transactions of a project: when and how long (the heat map), of which name, one by one, what the slowest of a name do
// more than others, and the merged profile of many.

import { Component, createRef, h } from "../vendor/preact.js";
import { ask, seconds, tree } from "../data/api.js";
import { count, counted, duration, isolated, percent } from "../data/format.js";
import { added, shares } from "../data/shares.js";
import { hottest, keyOf } from "../data/tree.js";
import { place } from "../shell/address.js";
import { icon } from "../shell/icons.js";
import { Loading, Message, Nothing, Switch, dot, kept } from "../shell/parts.js";
import { secondsOf, spanName } from "../shell/time.js";
import { address } from "./address.js";
import { LEVELS, columnsOf, heat, rectOfChosen, spanWords, sum } from "./heat.js";
import { HeatMap, HeatTable, roundly } from "./heatmap.js";
import { List } from "./list.js";
import { Names } from "./names.js";
import { found, statesOf } from "./rows.js";
import { Slowest } from "./slowest.js";

const LISTED = 200;
const LISTED_MANY = 500;
/** So many of the newest tell where the time of each name goes. */
const SAMPLED = 300;
/** What costs the server more is asked again at every so manieth tick. */
const SLOW_TICKS = 15;
/** And no question before so many times as long as it took has passed. */
const REST = 4;
/** @type {["all" | "profiled", string][]} */
const WHICH = [["all", "All"], ["profiled", "With profile"]];

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {import("./address.js").Shown} Shown */
/** An answer and the question that it is of; `trouble` where there was none. @typedef {{key: string, body: any, trouble: string}} Part */
/** @typedef {"names" | "heat" | "list" | "sample" | "difference" | "merged"} PartName */
/** @typedef {{parts: Partial<Record<PartName, Part>>, hint: string, graph: ?typeof import("../profile/graph.js").Graph}} State */

/** @extends {Component<Props, State>} */
export default class Page extends Component {
  listed = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { parts: {}, hint: "", graph: null };
    /** @type {Map<PartName, {key: string, abort: AbortController}>} */ this.asking = new Map();
    /** When each may be asked again. @type {Map<PartName, number>} */ this.next = new Map();
    this.read = kept((/** @type {string} */ search) => address.read(search));
    this.heat = kept((/** @type {any} */ body, /** @type {boolean} */ profiled) => heat(body, profiled));
    this.found = kept(found);
    this.states = kept(statesOf);
    this.tree = kept(tree);
    this.hottest = kept(hottest);
    this.hint = this.hint.bind(this);
  }

  componentDidMount() {
    this.refresh(true);
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    const { tick, search } = this.props;
    if (tick !== before.tick) this.refresh(tick % SLOW_TICKS === 0, true);
    else if (search !== before.search) this.refresh(false);
  }

  componentWillUnmount() {
    this.asking.forEach(({ abort }) => abort.abort());
  }

  shown() {
    return this.read(this.props.search);
  }

  /** @param {Partial<Shown>} change @param {boolean} [isSmall] */
  change(change, isSmall) {
    this.props.go("transactions", address.write({ ...this.shown(), ...change }), isSmall);
  }

  /** Asks what is not known yet; with `again`, also what may have changed since; with `all` even what is dear.
   *  @param {boolean} all @param {boolean} [again] */
  refresh(all, again = false) {
    const shown = this.shown(), { project, from, to, name, w0, w1, min, max, profiled } = shown;
    const window = { project, from, to }, columns = columnsOf(secondsOf(from), secondsOf(to));
    const chosen = { name: name || undefined, min_us: min || undefined, max_us: max ? String(Number(max) - 1) : undefined };
    const within = { ...window, ...(w0 ? { from: seconds(w0) } : {}), ...(w1 ? { to: seconds(w1) } : {}), ...chosen,
      // As the heat map counts: by start.
      started: w0 ? "true" : undefined };
    this.ask("names", "transactions", window, again);
    this.ask("heat", "transactions/heat", { ...window, name: chosen.name }, again, { from: columns.from, to: columns.to, columns: columns.many });
    if (shown.view === "list") {
      const { order } = shown, limit = shown.many ? LISTED_MANY : LISTED;
      this.ask("list", "transactions/newest", { ...within, profiled: profiled ? "true" : undefined, order, states: "true", limit }, again && all);
    } else {
      this.ask("merged", "transactions/tree", within, again && all, { split: "states" });
      if (!this.state.graph) import("../profile/graph.js").then(({ Graph }) => this.setState({ graph: Graph }));
    }
    this.ask("sample", "transactions/newest", { ...window, profiled: "true", order: "newest", states: "true", limit: SAMPLED }, again && all);
    const top = this.topName();
    if (top !== "") this.ask("difference", "transactions/difference", { ...window, name: top, limit: 200 }, again && all);
  }

  /** @param {PartName} name @param {string} what @param {Record<string, any>} question what makes it another question @param {boolean} again
   *  @param {Record<string, any>} [more] goes with it */
  async ask(name, what, question, again, more = {}) {
    const key = JSON.stringify(question), busy = this.asking.get(name), known = this.state.parts[name];
    if (busy?.key === key || !busy && known?.key === key && !again) return;
    busy?.abort.abort();
    // Who looks on does not ask more than a part of the time.
    if (again && known?.key === key && performance.now() < (this.next.get(name) ?? 0)) return;
    const mine = { key, abort: new AbortController() }, began = performance.now();
    this.asking.set(name, mine);
    /** @type {Part} */ let part;
    try {
      part = { key, body: await ask(what, { ...question, ...more }, mine.abort.signal), trouble: "" };
    } catch (error) {
      if (mine.abort.signal.aborted) return;
      part = { key, body: known?.key === key ? known.body : null, trouble: error instanceof Error ? error.message : String(error) };
    }
    if (this.asking.get(name) !== mine) return;
    this.asking.delete(name);
    this.next.set(name, performance.now() + (performance.now() - began) * REST);
    this.setState({ parts: { ...this.state.parts, [name]: part } }, () => { if (name === "names") this.refresh(false); });
  }

  /** The chosen name, or the one that takes most time. */
  topName() {
    return this.shown().name || (this.state.parts.names?.body?.transactions[0]?.name ?? "");
  }

  /** @param {string} hint */
  hint(hint) {
    if (hint !== this.state.hint) this.setState({ hint });
  }

  render() {
    const shown = this.shown(), { names } = this.state.parts;
    const isEmpty = names?.body && names.body.transactions.length === 0 && shown.name === "";
    return [this.main(shown, names && !names.body ? this.trouble(names.trouble) : isEmpty ? this.nothing(shown) : this.body(shown)), this.footer()];
  }

  /** @param {Shown} shown @param {import("../vendor/preact.js").Child} body */
  main(shown, body) {
    return h("main", { key: "main", class: "transactions" }, this.head(shown), body);
  }

  /** @param {string} text */
  trouble(text) {
    return h(Message, { level: "bad", title: "The transactions cannot be shown.", text, action: { text: "Try again", act: () => { this.refresh(true, true); } } });
  }

  /** @param {Shown} shown */
  nothing(shown) {
    const span = spanName(shown.from, shown.to).replace(/^Last/, "the last");
    return h(Nothing, {
      title: `No transactions in ${span}.`, text: "Transactions come from Sentry's SDKs: with traces_sample_rate above 0, and this server's DSN.",
      actions: shown.from !== "-7d" || shown.to !== "now" ? [{ text: "Look at the last 7 days", act: () => this.change({ from: "-7d", to: "now", w0: "", w1: "" }) }] : [],
    });
  }

  /** @param {Shown} shown */
  head(shown) {
    const { names } = this.state.parts, sums = total(names?.body?.transactions ?? []), span = spanName(shown.from, shown.to);
    const isNarrowed = [shown.env, shown.release, shown.instance].some(list => list.length > 0), whole = "Transactions are counted for the whole project";
    const words = names?.body ? `${count(sums.count)} in ${span.replace(/^Last/, "the last")}, ${percent(sums.profiled, sums.count)} with a profile` : "";
    const go = () => {
      const id = shown.q.trim().toLowerCase().replaceAll("-", "");
      if (/^[0-9a-f]{32}$/.test(id)) this.props.go("trace", "?" + new URLSearchParams({ project: shown.project, trace: id }));
    };
    return h("div", { class: "tx-head" },
      h("h1", null, "Transactions"),
      h("span", { class: "soft clip" }, words, isNarrowed ? h("span", { title: whole }, ", of all environments, releases and instances") : null),
      h("span", { class: "find push" }, icon("search"), h("input", {
        id: "search", type: "search", placeholder: "Name, or a trace's id", "aria-label": "Search names, or a trace's id", value: shown.q,
        onInput: (/** @type {any} */ event) => this.change({ q: event.currentTarget.value }, true),
        onKeyDown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") go(); },
      }), h("kbd", { "aria-hidden": "true" }, "Ctrl F")),
      h(Switch, { name: "Which", chosen: shown.profiled ? "profiled" : "all", options: WHICH, choose: which => this.change({ profiled: which === "profiled" }) }));
  }

  /** @param {Shown} shown */
  body(shown) {
    const isMerged = shown.view === "merged";
    const parts = isMerged ? this.merged(shown) : [this.byName(shown), this.oneByOne(shown), this.slowest(shown)];
    return [this.heatMap(shown), h("div", { class: "tx-body" + (isMerged ? " is-merged" : "") }, parts)];
  }

  /** @param {Shown} shown */
  heatMap(shown) {
    const part = this.state.parts.heat, map = part?.body ? this.heat(part.body, shown.profiled) : null, { w0, w1, min, max } = shown;
    const choose = (/** @type {?import("./heat.js").Chosen} */ chosen) => {
      const to = chosen ?? { w0: "", w1: "", min: "", max: "" };
      if (to.w0 !== w0 || to.w1 !== w1 || to.min !== min || to.max !== max) this.change(to);
    };
    const column = map ? `each cell: transactions of ${roundly(map.width)}` : "";
    const list = () => this.listed.current?.focus();
    return h("section", { class: "tx-heat", "aria-label": "Heat map of durations" },
      h("div", { class: "tx-heat-head" },
        h("b", null, "Duration"),
        h("span", { class: "soft clip", "aria-hidden": "true" }, this.state.hint || (shown.name ? `${column}, of ${isolated(shown.name.slice(0, 80))}` : column)),
        h("span", { class: "push row" },
          map && map.most > 0 ? h(Shades, { most: map.most }) : null,
          h("button", { type: "button", class: "quiet small", "aria-pressed": String(shown.cells), onClick: () => this.change({ cells: !shown.cells }) }, "View as table"))),
      map && shown.cells ? h(HeatTable, { heat: map, choose })
        : map ? h(HeatMap, { heat: map, chosen: { w0, w1, min, max }, label: shown.name ? shown.name.slice(0, 200) : "all transactions", choose, list, hint: this.hint })
        : h("div", { class: "tx-heat-plot" }, part?.trouble ? h("p", { class: "hint" }, part.trouble) : h(Loading, {})));
  }

  /** @param {Shown} shown */
  byName(shown) {
    const { names, sample, list } = this.state.parts;
    const rows = names?.body ? this.found(names.body.transactions, shown.q, shown.profiled, shown.sort, shown.up) : [];
    const states = this.states(sample?.body?.transactions, list?.body?.transactions);
    const sort = (/** @type {Shown["sort"]} */ by) => this.change({ sort: by, up: by === shown.sort && !shown.up }, true);
    return h("section", { class: "tx-names", "aria-labelledby": "by-name", key: "names" },
      h("div", { class: "tx-section" }, h("h2", { id: "by-name" }, "By name"), h("span", { class: "soft" }, names?.body ? count(rows.length) : ""), h(Legend, { states })),
      h("div", { class: "scroll" },
        names?.body && rows.length > 0 ? h(Names, { rows, shown, states, select: name => this.change({ name }), sort })
          : !names ? h(Loading, { words: "Counting transactions" })
          : h("p", { class: "hint" }, shown.q ? `No name holds ${isolated(shown.q.slice(0, 200))}.` : "No transaction has a profile.")));
  }

  /** @param {Shown} shown */
  oneByOne(shown) {
    const part = this.state.parts.list, items = part?.body?.transactions ?? [], { w0, w1, min, max } = shown, isChosen = Boolean(w0 || w1 || min || max);
    const where = isChosen ? spanWords({ w0, w1, min, max }) : "", title = shown.name || "All transactions";
    const all = part?.body?.more ? `the ${shown.order} ${count(items.length)}${this.many(shown)}` : `all ${count(items.length)}, the ${shown.order} first`;
    const words = !part?.body ? "" : items.length === 0 ? "none" : all;
    const remove = (/** @type {string} */ name, /** @type {Partial<Shown>} */ change) =>
      h("button", { type: "button", class: "quiet square", "aria-label": name, title: name, onClick: () => this.change(change) }, icon("close"));
    return h("section", { class: "tx-list", "aria-labelledby": "one-by-one", key: "list" },
      h("div", { class: "tx-section" },
        h("h2", { id: "one-by-one", class: "clip", dir: "auto", title: title.slice(0, 500) }, title),
        shown.name ? remove("All names", { name: "" }) : null,
        isChosen ? h("span", { class: "tx-chosen" }, where, remove(`Remove: ${where}`, { w0: "", w1: "", min: "", max: "" })) : null,
        h("span", { class: "soft clip" }, words),
        h("button", { type: "button", class: "push", disabled: items.length === 0, onClick: () => this.change({ view: "merged" }) }, icon("bars"), "Merge all profiles")),
      h("div", { class: "scroll", ref: this.listed, tabIndex: -1 },
        part?.trouble ? h(Message, { level: "warn", title: "The list cannot be shown.", text: part.trouble }) : null,
        items.length > 0 ? h(List, { items, project: shown.project, withName: shown.name === "", order: shown.order, go: this.props.go, sort: order => this.change({ order }) })
          : !part ? h(Loading, {}) : part.body ? h("p", { class: "hint" }, isChosen ? "Nothing is in what was chosen." : "There is none.") : null,
        !part?.body?.more ? null : shown.many ? h("p", { class: "hint" }, "There are more: choose a part of the heat map.")
          : h("p", { class: "tx-more-row" }, h("button", { type: "button", onClick: () => this.change({ many: true }, true) }, `List ${LISTED_MANY}`))));
  }

  /** Of how many a part is listed, where that is known. @param {Shown} shown */
  many(shown) {
    const { heat, names } = this.state.parts, { w0, w1, min, max, name, profiled } = shown;
    const map = heat?.body ? this.heat(heat.body, profiled) : null, chosen = map && (w0 || w1 || min || max) ? rectOfChosen(map, { w0, w1, min, max }) : null;
    if (map && chosen) return chosen.exact ? ` of ${count(sum(map, chosen.rect).count)}` : "";
    const sums = total((names?.body?.transactions ?? []).filter((/** @type {any} */ row) => name === "" || row.name === name));
    return sums.count > 0 ? ` of ${count(profiled ? sums.profiled : sums.count)}` : "";
  }

  /** @param {Shown} shown */
  slowest(shown) {
    const part = this.state.parts.difference, name = this.topName(), isOf = part && JSON.parse(part.key).name === name;
    return h("section", { class: "tx-slowest", "aria-labelledby": "slowest", key: "slowest" },
      h("div", { class: "tx-section" }, h("h2", { id: "slowest" }, "What the slowest 5 % do more"),
        h("span", { class: "soft clip", dir: "auto", title: name.slice(0, 500) }, name ? `${isolated(name.slice(0, 200))}, against the middle half` : "")),
      h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-labelledby": "slowest" },
        isOf && part.body ? h(Slowest, { difference: part.body }) : isOf ? h("p", { class: "hint" }, part.trouble) : name ? h(Loading, {}) : null));
  }

  /** @param {Shown} shown */
  merged(shown) {
    const { parts: { merged: part }, graph: Graph } = this.state, whole = part?.body ? this.tree(part.body) : null, back = () => this.change({ view: "list", f: "", z: "" });
    const title = part?.body ? `Merged profile of ${counted(part.body.transactions, "transaction")}` : "Merged profile", many = this.many(shown);
    const of = part?.body && many !== ` of ${count(part.body.transactions)}` ? many.replace(" of", "out of") : "";
    const chosen = whole && shown.f ? this.hottest(whole).find(({ func }) => keyOf(whole.functions[func]) === shown.f) : null;
    const sums = !whole ? "" : chosen ? `${isolated(shown.f.slice(0, 200))}: self ${percent(chosen.own, whole.all)}, total ${percent(chosen.total, whole.all)}`
      : `${duration(whole.all)} of thread time, ${counted(whole.seen, "sample")}`;
    return h("section", { class: "tx-merged", "aria-labelledby": "merged" },
      h("div", { class: "tx-section" },
        h("button", { type: "button", onClick: back }, icon("left"), "Back to the list"),
        h("h2", { id: "merged" }, title), h("span", { class: "soft clip", dir: "auto" }, [of, shown.name.slice(0, 200), spanWords(shown)].filter(Boolean).join(", ")),
        h("span", { class: "push soft clip", role: "status" }, sums)),
      !part || !Graph ? h(Loading, { words: "Merging profiles" })
        : !whole ? h("p", { class: "trouble" }, part.trouble)
        : whole.depth.length === 0 ? h(Nothing, {
          title: "None of these transactions has samples.", text: "Their threads may have been asleep, or the profiler began later.", actions: [{ text: "Back to the list", act: back }],
        })
        : h(Graph, { title: "Merged profile", tree: whole, hits: null, chosen: shown.f, select: f => this.change({ f }, true), zoom: shown.z, onZoom: z => this.change({ z }) }));
  }

  footer() {
    const { names } = this.state.parts, sums = total(names?.body?.transactions ?? []), without = sums.count - sums.profiled, shown = this.shown();
    return h("footer", { key: "footer", "aria-label": "Quality" },
      names?.trouble && names.body ? h("span", { class: "bad" }, `The server does not answer: ${names.trouble}`) : null,
      sums.count > 0 ? [
        h("span", { key: "found" }, h("span", { class: "tx-lamp" + (sums.profiled * 20 < sums.count * 19 ? " warn" : "") }),
          "profile found for ", h("b", null, percent(sums.profiled, sums.count))),
        without > 0 ? h("span", { key: "without" }, "without: ", h("b", null, count(without))) : null,
        h("span", { key: "failed" }, "failed: ", h("b", null, percent(sums.failed, sums.count))),
      ] : names?.body ? h("span", null, "no transactions") : null,
      h("span", { class: "last" }, shown.view === "list" ? "Drag over the heat map to list what is inside" : "Drag over the heat map to merge what is inside"));
  }
}

/** What the shades of cells mean. @param {{most: number}} props */
function Shades({ most }) {
  return h("span", { class: "tx-shades", role: "img", "aria-label": `Shades from 1 to ${most} in a cell; red line: some failed` },
    "1 ", Array.from({ length: LEVELS }, (_, at) => h("i", { key: at, class: `shade-${at + 1}` })), ` ${count(most)} per cell `, h("i", { class: "shade-failed" }), " failed");
}

/** @param {{states: Map<string, Record<string, number>>}} props */
function Legend({ states }) {
  const sums = shares([...states.values()].reduce(added, {})).filter(({ value }) => value > 0);
  return h("span", { class: "push row soft tx-states" }, sums.map(({ state, name, colour }) => h("span", { key: state }, dot(colour), name)));
}

/** @param {{count: number, with_profile: number, failed: number}[]} rows */
function total(rows) {
  return rows.reduce((sum, row) => ({ count: sum.count + row.count, profiled: sum.profiled + row.with_profile, failed: sum.failed + row.failed }), { count: 0, profiled: 0, failed: 0 });
}
