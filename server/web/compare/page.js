// @ts-check
// Two selections side by side: whether B takes more than A, where the difference lies, and how much of it sampling alone would make.

import { Component, createRef, h } from "../vendor/preact.js";
import { ask } from "../data/api.js";
import { coloursOfDifference } from "../data/colour.js";
import { percent } from "../data/format.js";
import { rate, sum } from "../data/quality.js";
import { found, search } from "../data/search.js";
import { frameOf, keyOf } from "../data/tree.js";
import { Graph } from "../profile/graph.js";
import { icon } from "../shell/icons.js";
import { kept, Loading, Message, Nothing } from "../shell/parts.js";
import { address, sides, swapped } from "./address.js";
import { Head } from "./head.js";
import { difference, largest, nodesOf, onlyIn, rowsOf, widest } from "./measure.js";
import { compare } from "./questions.js";
import { Rows } from "./rows.js";
import { Strip } from "./strip.js";
import { Verdict } from "./verdict.js";

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./questions.js").Data} Data */
/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {ReturnType<typeof nodesOf>} Nodes */
/** @typedef {(change: Partial<Shown>, isSmall?: boolean) => void} Set changes the address */
/** @typedef {{data: ?Data, projects: [string, string][], trouble: string}} State */

/** Changes of these say only how it is shown. */
const LOOKS = ["view", "measure", "self", "q", "rx", "f", "z", "sort"];
/** What is seen below a frame that is zoomed to, pixels. */
const BELOW = 160;
const SWAP = { type: "button", class: "quiet square", "aria-label": "Swap A and B", title: "Swap A and B" };

/** @extends {Component<Props, State>} */
export default class Compare extends Component {
  asking = new AbortController();
  graph = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { data: null, projects: [], trouble: "" };
    this.rows = kept(rowsOf);
    this.nodes = kept(nodesOf);
    this.largest = kept(largest);
    this.only = { a: kept(only), b: kept(only) };
    this.search = kept(search);
    this.found = kept((/** @type {Tree} */ tree, /** @type {ReturnType<typeof search>} */ { test }) => found(tree, test));
    this.colours = kept((/** @type {Nodes} */ { change, noise }) => kept((/** @type {boolean} */ isDark) => coloursOfDifference(change, noise, isDark)));
  }

  componentDidMount() {
    this.refresh();
    this.name().then(projects => this.setState({ projects }), () => {});
  }

  componentWillUnmount() {
    this.asking.abort();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    const asks = (/** @type {string} */ search) => JSON.stringify(Object.entries(address.read(search)).filter(([name]) => !LOOKS.includes(name)));
    if (before.search !== this.props.search && asks(before.search) !== asks(this.props.search)) this.refresh();
  }

  /** What projects are called. @returns {Promise<[string, string][]>} */
  async name() {
    const { projects } = await ask("status", {}).catch(() => ({ projects: null }));
    if (projects) return projects.map((/** @type {any} */ { id, name }) => [String(id), name]);
    return (await ask("projects", {})).projects.map((/** @type {number} */ id) => [String(id), `project ${id}`]);
  }

  async refresh() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const data = await compare(address.read(this.props.search), signal);
      if (!signal.aborted) this.setState({ data, trouble: "" });
    } catch (error) {
      if (!signal.aborted) this.setState({ data: null, trouble: error instanceof Error ? error.message : String(error) });
    }
  }

  render() {
    const { search, go } = this.props, shown = address.read(search), { data, projects, trouble } = this.state, measure = this.measure(shown);
    const set = (/** @type {Partial<Shown>} */ change, isSmall = false) => go("compare", address.write({ ...shown, ...change }), isSmall);
    const both = data ? { a: data.a.side, b: data.b.side } : sides(shown), again = { text: "Try now", act: () => this.refresh() };
    return [
      h("main", { key: "main", class: "compare" },
        h("h1", { class: "spoken" }, "Compare"),
        h("div", { class: "sides" },
          h(Head, { key: "a", name: "A", side: both.a, known: data?.a ?? null, projects, shown, set }),
          h("div", { class: "swap" }, h("button", { ...SWAP, onClick: () => set(swapped(shown)) }, icon("compare"))),
          h(Head, { key: "b", name: "B", side: both.b, known: data?.b ?? null, projects, shown, set })),
        h("div", { class: "verdict-strip" }, data ? this.verdict(data, measure, shown, set) : null),
        h(Strip, {
          shown, measure, isCpu: data?.isCpu ?? shown.clock !== "wall", canCount: data?.totals.requests != null, error: this.search(shown.q, shown.rx).error, set,
          next: way => this.graph.current?.next(way),
        }),
        trouble ? h(Message, { level: "bad", title: "This cannot be compared.", text: trouble, action: again }) : null,
        h("div", { class: "compared", id: "compared", role: "tabpanel", "aria-labelledby": `tab-${shown.view}` },
          data ? this.body(data, measure, shown, set) : trouble ? null : h(Loading, { words: "Merging both sides" }))),
      h("footer", { key: "quality", "aria-label": "Quality of the data" }, data && data.totals.us.some(us => us > 0) ? quality(data) : null,
        h("span", { key: "noise" }, "Grey is inside the sampling noise (95 %).")),
    ];
  }

  /** @param {Shown} shown */
  measure({ measure }) {
    return measure === "request" && !this.state.data?.totals.requests ? "share" : measure;
  }

  /** @param {Data} data @param {Shown["measure"]} measure @param {Shown} shown @param {Set} set */
  verdict(data, measure, shown, set) {
    const { trees, totals } = data, top = this.largest(this.rows(trees, measure, totals, shown.self));
    const look = (/** @type {number} */ func) => this.zoom(trees.b, func, z => set({ f: keyOf(trees.b.functions[func]), z, view: "difference" }));
    return h(Verdict, { data, measure, top, look });
  }

  /** @param {Data} data @param {Shown["measure"]} measure @param {Shown} shown @param {Set} set */
  body(data, measure, shown, set) {
    const { trees, totals, isCpu } = data, { a, b } = trees, { view, self, f } = shown;
    if (a.func.length === 0) return nothing(data, set);
    const seeks = this.search(shown.q, shown.rx), isSought = shown.q !== "" && seeks.error === null, nodes = this.nodes(trees, measure, totals);
    const alone = view === "a" ? this.only.a(a, b, nodes) : view === "b" ? this.only.b(b, a, nodes) : null;
    const graph = (/** @type {string} */ title, /** @type {Tree} */ tree, /** @type {Partial<import("../profile/graph.js").Props>} */ more = {}) => h(Graph, {
      key: title + measure, ref: this.graph, title, tree, hits: isSought ? this.found(b, seeks).hits : null, chosen: f, select: (/** @type {string} */ f) => set({ f }, true),
      zoom: shown.z, onZoom: (/** @type {string} */ z) => { if (z !== shown.z) set({ z }); }, quiet: true, ...more,
    });
    const half = (/** @type {"A" | "B"} */ name, /** @type {Tree} */ tree) =>
      h("section", { key: name, "aria-label": name }, tree.all > 0 ? graph(`Side ${name}`, tree) : h(Nothing, { title: `No samples in ${name}` }));
    const views = {
      difference: () => b.all > 0 ? graph("Difference: width is B, colour the change", b, { colours: this.colours(nodes), shares: labels(nodes, measure) })
        : h(Nothing, { title: "No samples in B", text: "The graph has the widths of B. What A did is in the other tabs." }),
      both: () => h("div", { class: "halves" }, half("A", a), half("B", b)),
      a: () => alone && onlyView("A", "B", a, alone, graph), b: () => alone && onlyView("B", "A", b, alone, graph),
    };
    const rows = this.rows(trees, measure, totals, self).filter(({ only }) => !alone || only === view);
    return [
      h("div", { key: "graph", class: "compared-graph" }, views[view]()),
      h(Rows, {
        key: "rows", rows, functions: a.functions, measure, isCpu, shown, test: isSought ? seeks.test : null, set,
        zoom: func => this.zoom(alone?.tree ?? b, func, z => set({ z })),
      }),
    ];
  }

  /** To the widest frame of a function, some of what it calls below it. @param {Tree} tree @param {number} func @param {(z: string) => void} go */
  zoom(tree, func, go) {
    const node = widest(tree, func), flame = /** @type {?Graph} */ (this.graph.current)?.flame;
    if (node < 0) return;
    go(frameOf(tree, node));
    flame?.revealRow(node);
    flame?.scroll(BELOW);
  }
}

/** What stands in one tree alone, beyond the noise. @param {Tree} tree @param {Tree} other @param {Nodes} nodes */
function only(tree, other, { change, noise }) {
  return onlyIn(tree, other, node => Math.abs(change[node]) <= noise[node]);
}

/** What stands at the right of frames: changes beyond the noise. @param {Nodes} nodes @param {Shown["measure"]} measure */
function labels({ change, noise }, measure) {
  return (/** @type {number} */ node) => Math.abs(change[node]) > noise[node] ? difference(measure, change[node]) : "";
}

/** @param {"A" | "B"} name @param {"A" | "B"} other @param {Tree} of @param {ReturnType<typeof onlyIn>} alone
 *  @param {(title: string, tree: Tree, more: {shares: (node: number) => string}) => import("../vendor/preact.js").Child} graph */
function onlyView(name, other, of, { tree, rest }, graph) {
  const left = rest > 0 ? ` ${percent(rest, of.all)} of ${name} is in stacks so rare that sampling may have missed them in ${other}: they are left out.` : "";
  if (tree.func.length === 0) return h(Nothing, { title: `Nothing is only in ${name}`, text: left || `Each of its stacks is in ${other}, too.` });
  return [
    h("p", { key: "words", class: "only-words" }, h("b", null, percent(tree.all, of.all)),
      ` of ${name} is in stacks that ${other} does not have, each from the first such frame on.`, left),
    graph(`Only in ${name}`, tree, { shares: node => percent(tree.total[node], of.all) }),
  ];
}

/** @param {Data} data @param {Set} set */
function nothing({ isCpu, a, b }, set) {
  if (a.sessions.length + b.sessions.length > 0 && isCpu) {
    const text = "The wall clock shows what they waited for, and profiles without CPU states.";
    return h(Nothing, { title: "Nothing of either side is known to have run on a CPU", text, actions: [{ text: "Show wall clock", act: () => set({ clock: "wall" }) }] });
  }
  const act = () => set({ from: "-1d", to: "now", a_from: "", a_to: "" });
  return h(Nothing, { title: "No samples on either side", text: "Choose another time, environment or release above.", actions: [{ text: "Last 24 h and those before", act }] });
}

/** @param {Data} data */
function quality({ a, b, damaged, isCpu }) {
  const both = (/** @type {(quality: import("../data/quality.js").Quality) => string} */ of) => [a, b].map(({ quality }) => quality.profiles > 0 ? of(quality) : "not said");
  const share = (/** @type {string} */ name) => both(({ counters }) => percent(sum(counters[name]), sum(counters.samples))).join(" / ");
  const hz = both(quality => `${rate(quality).toFixed(1)}\u202fHz`);
  return [
    a.quality.profiles + b.quality.profiles === 0 ? h("span", { key: "none" }, "SDKs say nothing of the quality") : [
      h("span", { key: "rate" }, "rate A ", h("b", null, hz[0]), ", B ", h("b", null, hz[1])),
      ["late", "truncated", "guessed"].map(name => h("span", { key: name }, `${name} `, h("b", null, share(name)))),
    ],
    damaged > 0 ? h("span", { key: "damaged", class: "bad" }, `${damaged} chunks cannot be read; the rest is compared`) : null,
    isCpu || a.hasStates || b.hasStates ? null : h("span", { key: "states" }, "These profiles have no CPU states: shares are of the time of threads that were not idle"),
  ];
}
