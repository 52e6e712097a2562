// @ts-check
// The page: what is asked stands in the address, is asked again while it is live, and is shown as graph, table and panel.

import { read, write, VIEWS } from "./address.js";
import { ask, seconds, tree } from "./api.js";
import { count, duration, percent } from "./format.js";
import { Graph } from "./graph.js";
import { Panel } from "./panel.js";
import { applied, label, of } from "./pills.js";
import { Component, h, render } from "./preact.js";
import { Quality } from "./quality.js";
import { found, search } from "./search.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";
import { hottest, inverted, neighbours } from "./tree.js";

/** How often a live page asks, milliseconds. A hidden one does not. */
const EVERY_MS = 2000;
const BUCKETS = 240;

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {{services: any, threads: any, tree: Tree, covers: any, quality: any, cpu: any}} Data */

/** @type {Record<string, string>} */
const VIEW_NAMES = { flame: "Flame graph", inverted: "Inverted", sandwich: "Sandwich", functions: "Functions" };
const WINDOWS = [["30", "last 30 s"], ["300", "last 5 min"], ["3600", "last hour"], ["86400", "last 24 h"], ["604800", "last 7 days"]];

/** What was last made of one thing, as long as that stays the same. @template A, B @param {(...from: A[]) => B} make */
function kept(make) {
  /** @type {A[] | undefined} */ let last;
  /** @type {B} */ let made;
  return (/** @type {A[]} */ ...from) => {
    if (!last || from.some((one, at) => one !== /** @type {A[]} */ (last)[at])) { made = make(...from); last = from; }
    return made;
  };
}

/** @typedef {{shown: Shown, data: ?Data, live: boolean, trouble: string}} State */

/** @extends {Component<{}, State>} */
class Page extends Component {
  /** @param {{}} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { shown: read(location.search), data: null, live: true, trouble: "" };
    this.asking = new AbortController();
    this.applied = kept((/** @type {any} */ tree, /** @type {any} */ pills) => applied(tree, pills));
    this.inverted = kept((/** @type {any} */ tree) => inverted(tree));
    this.hottest = kept((/** @type {any} */ tree) => hottest(tree));
    this.neighbours = kept((/** @type {any} */ tree, /** @type {any} */ key) => neighbours(tree, of(tree, key)));
    this.search = kept((/** @type {any} */ q, /** @type {any} */ rx) => search(q, rx));
    this.found = kept((/** @type {any} */ tree, /** @type {any} */ test) => found(tree, test));
  }

  componentDidMount() {
    addEventListener("popstate", () => this.setState({ shown: read(location.search) }, () => this.refresh()));
    addEventListener("keydown", event => {
      if ((event.ctrlKey || event.metaKey) && event.key === "f" || event.key === "/" && !isTyping(event.target)) {
        event.preventDefault();
        document.getElementById("search")?.focus();
      }
    });
    setInterval(() => { if (this.state.live && !document.hidden && !this.state.shown.w0) this.refresh(); }, EVERY_MS);
    this.refresh();
  }

  /** @param {Partial<Shown>} change @param {boolean} [isSmall] stays in the same entry of the history */
  go(change, isSmall = false) {
    const shown = { ...this.state.shown, ...change };
    const address = write(shown) + location.hash;
    if (isSmall) history.replaceState(null, "", address); else history.pushState(null, "", address);
    this.setState({ shown });
    const asked = ["project", "profiler", "thread", "window", "w0", "w1", "states"];
    if (Object.keys(change).some(name => asked.includes(name))) this.refresh(shown);
  }

  async refresh(shown = this.state.shown) {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const outer = { project: shown.project, from: `-${shown.window}s` };
    const window = shown.w0 ? { from: seconds(shown.w0), to: seconds(shown.w1) } : { from: outer.from };
    const process = { project: shown.project, profiler: shown.profiler || undefined };
    const selected = { ...process, ...window, states: shown.states };
    try {
      const [services, threads, body, quality, cpu] = await Promise.all([
        ask("services", outer, signal),
        ask("threads", selected, signal),
        ask("tree", { ...selected, thread: shown.thread || undefined }, signal),
        ask("quality", { ...process, ...window }, signal),
        ask("cpu", { ...process, from: outer.from, buckets: BUCKETS }, signal),
      ]);
      this.setState({ data: { services, threads, tree: tree(body), covers: body.covers, quality, cpu }, trouble: "" });
    } catch (error) {
      if (!signal.aborted) this.setState({ trouble: error instanceof Error ? error.message : String(error) });
    }
  }

  render() {
    const { data, shown } = this.state;
    return [this.header(), h("main", null, this.timeline(), this.strip(), data ? this.view(data, shown) : h("div", { class: "body" }, h("p", { class: "empty", role: "status" }, this.state.trouble))), h(Quality, { data: data?.quality ?? null, covers: data?.covers ?? null })];
  }

  header() {
    const { shown, data, live } = this.state;
    const processes = data?.services.sessions.map(process) ?? [], threads = data?.threads.threads.map(thread) ?? [];
    const clockButton = (/** @type {Shown["states"]} */ states, /** @type {string} */ text) =>
      h("button", { type: "button", "aria-pressed": String(shown.states === states), onClick: () => this.go({ states }) }, text);
    return h("header", null,
      h("strong", null, "sentry-profiled"),
      choice("Process", shown.profiler, [["", "all"], ...processes], profiler => this.go({ profiler, thread: "" })),
      choice("Thread", shown.thread, [["", "all"], ...threads], thread => this.go({ thread })),
      choice("Time", shown.window, WINDOWS, window => this.go({ window, w0: "", w1: "" })),
      h("span", { role: "group", "aria-label": "Clock" }, clockButton("all", "Wall clock"), clockButton("on_cpu", "On CPU")),
      h("button", { type: "button", "aria-pressed": String(live && !shown.w0), disabled: shown.w0 !== "", onClick: () => this.setState({ live: !live }) }, "Live"));
  }

  timeline() {
    const { shown, data } = this.state;
    const chosen = shown.w0 ? { from: Number(shown.w0), to: Number(shown.w1) } : null;
    return h(Timeline, { cpu: data?.cpu ?? null, chosen, choose: span => this.go(span ? { w0: String(span.from), w1: String(span.to) } : { w0: "", w1: "" }) });
  }

  strip() {
    const { shown } = this.state, { error } = this.search(shown.q, shown.rx);
    const tab = (/** @type {import("./address.js").View} */ view) => h("button", {
      type: "button", role: "tab", "aria-selected": String(view === shown.view), onClick: () => this.go({ view }),
    }, VIEW_NAMES[view]);
    return h("div", { class: "views" },
      h("div", { role: "tablist", "aria-label": "View" }, VIEWS.map(tab)),
      h("span", { class: "find" },
        h("input", {
          id: "search", type: "search", placeholder: "Search name or file", "aria-label": "Search name or file", value: shown.q, "aria-invalid": String(error !== null), title: error ?? "",
          onInput: (/** @type {any} */ event) => this.go({ q: event.currentTarget.value }, true),
        }),
        h("button", { type: "button", "aria-pressed": String(shown.rx), title: "Regular expression", onClick: () => this.go({ rx: !shown.rx }) }, ".*")));
  }

  /** @param {Data} data @param {Shown} shown */
  view(data, shown) {
    const tree = this.applied(data.tree, shown.fx), { test, error } = this.search(shown.q, shown.rx);
    const seeks = shown.q !== "" && error === null, { hits, frames, us } = this.found(tree, test);
    const select = (/** @type {string} */ f) => this.go({ f }, true);
    const graph = (/** @type {string} */ title, /** @type {Tree} */ of) => h(Graph, { key: title, title, tree: of, hits: seeks ? hits : null, chosen: shown.f, select });
    const around = shown.f === "" ? null : this.neighbours(tree, shown.f);
    const views = {
      flame: () => graph("Flame graph", tree),
      inverted: () => graph("Inverted flame graph", this.inverted(tree)),
      sandwich: () => around
        ? h("div", { class: "two" }, h("h3", null, `Callers of ${shown.f}`), graph("Callers", around.above), h("h3", null, `What ${shown.f} calls`), graph("Callees", around.below))
        : h("p", { class: "empty" }, "Select a function in another view: its callers and what it calls are shown here."),
      functions: () => h(Table, { tree, rows: this.hottest(tree), hits: seeks ? hits : null, chosen: shown.f, select }),
    };
    const result = seeks ? (frames > 0 ? `${count(frames)} frames match, ${percent(us, tree.all)}` : `No function or file matches ${shown.q}`) : error ? "The pattern is not complete" : "";
    return [
      h("div", { class: "pills", key: "pills" },
        h("span", { role: "status" }, this.state.trouble || summary(tree, data)),
        shown.fx.map((pill, at) => h("span", { class: "pill" }, h("b", null, label(pill)), " ", pill.name,
          h("button", { type: "button", "aria-label": `Remove: ${label(pill)} ${pill.name}`, onClick: () => this.go({ fx: shown.fx.filter((_, other) => other !== at) }) }, "×"))),
        h("span", { class: "result", role: "status" }, result)),
      h("div", { class: "body", key: "body" },
        h("section", { class: "content", "aria-label": VIEW_NAMES[shown.view] }, tree.depth.length > 0 ? views[shown.view]() : h("p", { class: "empty" }, empty(data, shown))),
        h("aside", { "aria-label": "Details" }, h(Panel, {
          tree, chosen: shown.f, around, select, add: pill => this.go({ fx: [...shown.fx, pill] }), sandwich: () => this.go({ view: "sandwich" }),
        }))),
    ];
  }
}

/** @param {Tree} tree @param {Data} data */
function summary(tree, data) {
  const hidden = data.tree.all - tree.all, of = hidden > 0 ? ` of ${duration(data.tree.all)}` : "";
  return `${duration(tree.all)}${of} of thread time, ${count(data.tree.seen)} samples`;
}

/** @param {Data} data @param {Shown} shown */
function empty(data, shown) {
  if (data.tree.depth.length > 0) return "Nothing is left of it: remove a pill above.";
  if (shown.states === "on_cpu") return "Nothing ran on a CPU in this window. The wall clock shows what it waited for.";
  return data.services.sessions.length > 0 ? "No samples in this window." : "No profiles yet. Start with one process: sentry-profiled --pid PID";
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}

/** @param {string} name @param {string} chosen @param {string[][]} options value and text @param {(value: string) => void} choose */
function choice(name, chosen, options, choose) {
  const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  return h("label", null, name, " ", h("select", { value: chosen, onChange: (/** @type {any} */ event) => choose(event.currentTarget.value) },
    all.map(([value, text]) => h("option", { key: value, value, selected: value === chosen }, text))));
}

/** @param {any} process @returns {[string, string]} */
function process({ profiler_id, pid, executable, sdk }) {
  const program = executable ? executable.split("/").pop() : sdk[0];
  return [profiler_id, pid ? `${program} (${pid})` : `${program} ${profiler_id.slice(0, 8)}`];
}

/** @param {any} thread @returns {[string, string]} */
function thread({ id, name, weight }) {
  return [id, `${name ? `${name} (${id})` : id}, ${count(weight.samples)}`];
}

const page = document.getElementById("page");
if (page) render(h(Page, {}), page);
