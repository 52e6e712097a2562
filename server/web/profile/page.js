// @ts-check
// The profile page: where the time goes, when, in which thread, how far that may be trusted. What is shown stands in the address.

import { Component, createRef, h } from "../vendor/preact.js";
import { seconds, tree } from "../data/api.js";
import { count, percent } from "../data/format.js";
import { keyOf } from "../data/tree.js";
import { isTyping, kept, Loading, MenuList } from "../shell/parts.js";
import { onTheme } from "../shell/theme.js";
import { act, asText, entriesOf } from "./actions.js";
import { read, VIEWS, write } from "./address.js";
import { Bar } from "./bar.js";
import { Derived } from "./derived.js";
import { threadName } from "./lanes.js";
import { Panel, Side } from "./panel.js";
import { Away, Quality, Told } from "./quality.js";
import { Asker, questions, windowOf } from "./questions.js";
import { SourceDialog, sourceOf, template } from "./source.js";
import { modeOf, Pills, Views } from "./strip.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

/** Waits before asking a server again that did not answer, seconds. */
const RETRY_S = [2, 4, 8, 15, 30];
/** In larger trees who calls a function is worked out when the selection has rested for a while, nodes and milliseconds. */
const LARGE = 50_000, REST_MS = 120;
/** Narrower, the details lie over the rest. */
const NARROW = 1000;

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {import("../data/tree.js").Func} Func */
/** @typedef {import("../data/pills.js").Pill} Pill */
/** Answers by their question; `tree` as trees are. `at`: when the last one came, milliseconds since 1970.
 *  @typedef {{data: Record<string, any>, tree: ?Tree, ms: number, at: number, trouble: string, away: ?{left: number, tries: number}, isPanel: boolean,
 *  pointed: string, told: string[], shut: string[],
 *  menu: ?{x: number, y: number, key: string}, asksSource: boolean, rested: string}} State */

/** @extends {Component<import("../shell/app.js").PageProps, State>} */
export default class Page extends Component {
  /** @param {import("../shell/app.js").PageProps} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { data: {}, tree: null, ms: 0, at: 0, trouble: "", away: null, isPanel: innerWidth >= NARROW, pointed: "", told: [],
      shut: [], menu: null, asksSource: false, rested: "" };
    this.view = createRef();
    this.viewer = createRef();
    this.asker = new Asker((name, body, ms) => this.answered(name, body, ms), (name, error) => this.refused(name, error));
    this.made = new Derived();
    this.shown = kept(read);
    /** Whether a pointer is on the graph. */ this.isPointed = false;
    /** Whether a key did the last thing. */ this.isByKey = false;
    /** The question that was refused. */ this.troubled = "";
    this.point = (/** @type {string} */ pointed) => { if (pointed !== this.state.pointed) this.setState({ pointed }); };
  }

  get at() {
    return this.shown(this.props.search);
  }

  componentDidMount() {
    this.ask(0);
    this.resized = () => { if (innerWidth < NARROW !== this.wasNarrow) { this.wasNarrow = innerWidth < NARROW; this.setState({ isPanel: !this.wasNarrow }); } };
    this.wasNarrow = innerWidth < NARROW;
    addEventListener("resize", this.resized);
    this.offTheme = onTheme(() => this.forceUpdate());
  }

  componentWillUnmount() {
    this.asker.stop();
    clearInterval(this.countdown);
    clearTimeout(this.rests);
    this.offTheme?.();
    if (this.resized) removeEventListener("resize", this.resized);
  }

  /** @param {import("../shell/app.js").PageProps} before @param {State} beforeState */
  componentDidUpdate(before, beforeState) {
    const { search, tick } = this.props;
    if (search !== before.search || this.state.isPanel !== beforeState.isPanel) this.ask(0);
    else if (tick !== before.tick && !this.state.away) this.ask(tick);
    const now = this.at, last = read(before.search);
    if (now.q !== last.q) this.sayFound();
    if (now.f !== this.state.rested) { clearTimeout(this.rests); this.rests = setTimeout(() => this.setState({ rested: this.at.f }), REST_MS); }
    // A key took what had the focus off the page.
    if (now.view !== last.view && document.activeElement === document.body) this.focusView();
  }

  /** @param {number} tick */
  ask(tick) {
    if (this.asker.ask(questions(this.at, this.at.f !== "" && this.state.isPanel), tick)) this.forceUpdate();
  }

  /** @param {string} name @param {any} body @param {number} ms */
  answered(name, body, ms) {
    clearInterval(this.countdown);
    const more = name === "tree" ? { tree: tree(body), ms } : {};
    this.setState({ data: { ...this.state.data, [name]: body }, at: Date.now(), away: null, ...this.troubled === name ? { trouble: "" } : {}, ...more });
  }

  /** @param {string} name @param {import("../data/api.js").Refusal} error */
  refused(name, error) {
    if (error.status !== 0) { this.troubled = name; this.setState({ trouble: `${name}: ${error.message}` }); return; }
    if (this.state.away && this.state.away.left > 0) return;
    const tries = this.state.away?.tries ?? 0;
    clearInterval(this.countdown);
    this.setState({ away: { left: RETRY_S[Math.min(tries, RETRY_S.length - 1)], tries: tries + 1 } });
    this.countdown = setInterval(() => {
      const { away } = this.state;
      if (!away) return;
      if (away.left <= 1) { clearInterval(this.countdown); this.retry(); } else this.setState({ away: { ...away, left: away.left - 1 } });
    }, 1000);
  }

  retry() {
    const { away } = this.state;
    if (away) this.setState({ away: { ...away, left: 0 } });
    this.ask(0);
  }

  /** @param {Partial<Shown>} change @param {boolean} [isSmall] stays in the same entry of the history */
  go(change, isSmall = false) {
    if (this.state.trouble !== "" && this.troubled === "") this.setState({ trouble: "" });
    this.props.go("profile", write({ ...this.at, ...change }), isSmall);
  }

  /** The window in microseconds, where it is known. @returns {?{from_us: number, to_us: number}} */
  span() {
    const { w0, w1 } = this.at, { cpu } = this.state.data;
    return w0 ? { from_us: Number(w0), to_us: Number(w1) } : cpu ?? null;
  }

  /** The trees that the views are of; `null` until there is one. */
  trees() {
    const { tree: whole } = this.state;
    if (!whole) return null;
    return this.made.trees(whole, this.at);
  }

  /** @returns {import("./actions.js").Actions} */
  actions() {
    const { fx } = this.at, isFolded = this.isFolded();
    return {
      add: pill => { if (!fx.some(({ kind, name }) => kind === pill.kind && name === pill.name)) this.go({ fx: [...fx, pill], z: "" }); },
      sandwich: f => this.go({ view: "sandwich", f }),
      copy: func => navigator.clipboard.writeText(asText(func)).then(() => this.props.say("Copied"),
        () => { this.troubled = ""; this.setState({ trouble: "The browser does not allow copying: select the text instead." }); }),
      source: func => {
        const href = sourceOf(template(), func);
        if (href) open(href, "_blank", "noreferrer,noopener"); else if (func.path || func.file) this.setState({ asksSource: true });
          else this.props.say("No file is known of it");
      },
      fold: () => this.go({ fx: isFolded ? [...fx, { kind: "trunk", name: "0" }] : fx.filter(({ kind }) => kind !== "trunk") }),
      isFolded,
    };
  }

  isFolded() {
    return !this.at.fx.some(({ kind }) => kind === "trunk");
  }

  /** @param {string} [f] its key @returns {?Func} */
  func(f = this.at.f) {
    const func = f === "" ? undefined : this.state.tree?.functions.find(func => keyOf(func) === f), { lines } = this.state.data;
    // Trees know no lines where a function has many: the one that took most stands for it.
    return func ? { ...func, line: func.line ?? (lines ? this.made.lines(lines).get(f)?.[0]?.line ?? null : null) } : null;
  }

  /** Escape closes what lies over the graph, then clears the search; what it does then is the graph's. @param {KeyboardEvent} event */
  escape(event) {
    this.isByKey = true;
    if (event.key !== "Escape" || isTyping(event.target)) return;
    if (innerWidth < NARROW && this.state.isPanel) this.setState({ isPanel: false });
    else if (this.at.q !== "") this.go({ q: "" }, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The keys of the graph, the tree and the table. @param {KeyboardEvent} event */
  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)
      || /** @type {HTMLElement} */ (event.target).closest("dialog, .menu")) return;
    const view = VIEWS[Number(event.key) - 1], { w0, w1, from, to } = this.at, step = this.span();
    if (view) this.go({ view });
    else if (event.key === "x" || event.key === "X") this.go({ clock: this.at.clock === "cpu" ? "wall" : "cpu" });
    else if (event.key === "k" || event.key === "K") /** @type {?HTMLElement} */ (document.querySelector(".colour-menu > button"))?.click();
    else if (event.key === "l" || event.key === "L") this.props.setLive(!this.props.live);
    else if ((event.key === "[" || event.key === "]") && step) {
      const by = (step.to_us - step.from_us) * (event.key === "[" ? -1 : 1), moved = [step.from_us + by, step.to_us + by];
      if (w0 && w1) this.go({ w0: String(moved[0]), w1: String(moved[1]), ...this.around(moved[0], moved[1], from, to) });
      else this.go({ from: seconds(String(moved[0])), to: seconds(String(moved[1])) });
    } else if (event.key === "." && this.func()) {
      const { left, top } = this.view.current.getBoundingClientRect();
      this.setState({ menu: { x: left + 120, y: top + 60, key: this.at.f } });
    } else if (!act(event, this.func(), this.actions())) return;
    event.preventDefault();
  }

  /** The axis goes where the window went when it left it. @param {number} w0 @param {number} w1 @param {string} from
   *  @param {string} to @returns {Partial<Shown>} */
  around(w0, w1, from, to) {
    const { cpu } = this.state.data;
    if (!cpu || w0 >= cpu.from_us && w1 <= cpu.to_us) return { from, to };
    const by = w0 < cpu.from_us ? w0 - cpu.from_us : w1 - cpu.to_us;
    return { from: seconds(String(Math.round(cpu.from_us + by))), to: seconds(String(Math.round(cpu.to_us + by))) };
  }

  render() {
    const { data, menu, asksSource, away, at, told, shut } = this.state, span = this.span(), shown = this.at;
    const func = menu ? this.state.tree?.functions.find(func => keyOf(func) === menu.key) : null;
    const topics = [...new Set([...this.made.urgent(data.quality, data.tree?.covers), ...told])].filter(topic => !shut.includes(topic));
    const close = (/** @type {string} */ topic) => this.setState({ told: told.filter(other => other !== topic), shut: [...shut, topic] });
    const tell = (/** @type {string} */ topic) => this.setState(topics.includes(topic) ? { told: told.filter(other => other !== topic), shut: [...shut, topic] }
      : { told: [...told, topic], shut: shut.filter(other => other !== topic) });
    return [
      h("main", { key: "main", class: "profile" },
        this.bar(), this.timeline(), this.strip(), this.pillStrip(), this.body(),
        h("div", { class: "messages" }, away ? h(Away, { left: away.left, at, retry: () => this.retry() }) : null,
          topics.map(topic => h(Told, { key: topic, topic: /** @type {any} */ (topic), data: data.quality, covers: data.tree?.covers, span,
            close: () => close(topic) }))),
        menu && func ? h(MenuList, { name: "Function", right: false, at: menu, close: () => { this.setState({ menu: null }); this.focusView(); },
          entries: entriesOf(func, this.actions()) }) : null,
        asksSource ? h(SourceDialog, { close: () => this.setState({ asksSource: false }) }) : null),
      h(Quality, { key: "quality", data: data.quality, covers: data.tree?.covers, ms: this.state.ms,
        unnamed: this.state.tree ? this.made.unnamed(this.state.tree) : { functions: 0, libraries: 0 }, tell }),
    ];
  }

  sayFound() {
    const trees = this.trees(), { q, rx } = this.at, { test, error } = this.made.search(q, rx);
    if (!trees || q === "") return;
    const { frames, us } = this.made.found(trees.tree, test);
    this.props.say(error ?? `${count(frames)} frames match, ${percent(us, trees.tree.all)}`);
  }

  /** @param {string} f @param {string} [s] */
  select(f, s = "") {
    if (f === this.at.f && s === this.at.s) return;
    this.go({ f, s }, true);
    if (f !== "" && this.isByKey && innerWidth < NARROW) this.setState({ isPanel: true });
  }

  focusView() {
    /** @type {?HTMLElement} */ (this.view.current?.querySelector(".stage canvas, [role=treegrid], [role=grid]"))?.focus();
  }

  bar() {
    const { data } = this.state, shown = this.at, span = this.span(), sessions = data.services?.sessions ?? NONE;
    const link = () => location.origin + "/profile" + write(this.props.live && data.cpu
      ? { ...shown, from: seconds(String(data.cpu.from_us)), to: seconds(String(data.cpu.to_us)) } : shown);
    return h(Bar, {
      shown, sessions, span, link, selected: this.selected(), marks: data.marks?.marks ?? NONE,
      change: change => this.go(change), compare: search => this.props.go("compare", search), say: this.props.say,
      trouble: trouble => { this.troubled = ""; this.setState({ trouble }); },
    });
  }

  timeline() {
    const { data } = this.state, shown = this.at, { all } = this.sessions();
    const window = shown.w0 ? { from: Number(shown.w0), to: Number(shown.w1) } : null, hosts = new Set(all.map((/** @type {any} */ { host }) => host));
    return h(Timeline, {
      cpu: data.cpu ?? null, cores: hosts.size <= 1 ? data.status?.machine?.cores ?? null : null, sessions: all,
      transactions: this.transactions(), spans: this.made.inSpans(data.spans),
      threads: data.threads ? this.made.threads(data.threads.threads) : NONE, tid: shown.tid, chosen: window, live: this.props.live,
      choose: (span, isSmall) => this.go(span ? { w0: String(span.from), w1: String(span.to) } : { w0: "", w1: "" }, isSmall),
      zoom: () => this.go({ from: seconds(shown.w0), to: seconds(shown.w1), w0: "", w1: "" }), chooseThreads: tid => this.go({ tid }),
      slice: one => this.go({ w0: String(one.start_us), w1: String(Math.max(one.start_us + 1, one.end_us)), tid: one.thread_id ? [one.thread_id] : [] }),
      trace: id => this.props.go("trace", `?project=${shown.project}&trace=${id.replaceAll("-", "")}`),
    });
  }

  /** What the answers are of, as parameters. @returns {import("../data/api.js").Parameters} */
  selected() {
    const { project, env, release, instance, tid, clock } = this.at;
    return { project, environment: env, release, profiler: instance, thread: tid, ...windowOf(this.at), states: clock === "cpu" ? "on_cpu" : undefined };
  }

  sessions() {
    return this.made.inPlace(this.state.data.services?.sessions ?? NONE, this.props.search);
  }

  strip() {
    const shown = this.at, { test, error } = this.made.search(shown.q, shown.rx), trees = this.trees(), { fold } = this.actions(), isFolded = this.isFolded();
    const matches = trees && shown.q !== "" && !error ? this.made.found(trees.tree, test) : null;
    return h(Views, {
      shown, error, result: matches && trees ? { frames: matches.frames, us: matches.us, all: trees.tree.all } : null, isPanel: this.state.isPanel, isFolded,
      fold, leave: () => this.focusView(),
      change: (change, isSmall) => this.go(change, isSmall), next: way => this.viewer.current?.next(way),
      togglePanel: () => this.setState({ isPanel: !this.state.isPanel }),
    });
  }

  pillStrip() {
    const shown = this.at, trees = this.trees(), func = this.func();
    return h(Pills, {
      shown, all: trees?.tree.all ?? null, before: trees?.before.all ?? 0, samples: trees ? this.made.samples(trees.tree) : null, threads: this.threadWords(),
      trouble: this.state.trouble, mode: modeOf(shown)[0],
      remove: at => this.go({ fx: shown.fx.filter((_, other) => other !== at), z: "" }), entries: () => this.transforms(func),
    });
  }

  /** @param {?Func} func @returns {import("../shell/parts.js").Entry[]} */
  transforms(func) {
    const entries = func ? entriesOf(func, this.actions()).slice(0, 5) : [{ text: "Select a function first", disabled: true }],
      { fold, isFolded } = this.actions();
    return [...entries, "-", { text: "Fold the common trunk", keys: "T", checked: isFolded, act: fold },
      { text: "Remove all", disabled: this.at.fx.length === 0, act: () => this.go({ fx: [], z: "" }) }];
  }

  threadWords() {
    const { tid } = this.at, threads = this.state.data.threads ? this.made.threads(this.state.data.threads.threads) : [];
    if (tid.length === 0) return "all threads";
    return tid.length > 2 ? `${tid.length} threads` : tid.map(id => threadName(threads.find(thread => thread.id === id) ?? { id, name: null })).join(", ");
  }

  body() {
    const { data, isPanel } = this.state, shown = this.at, trees = this.trees();
    const chunks = (data.services?.sessions ?? []).reduce((/** @type {number} */ sum, /** @type {any} */ { profiles }) => sum + profiles, 0);
    const loading = h(Loading, { words: chunks > 0 ? `Merging ${count(chunks)} chunks` : "" });
    const f = trees && trees.tree.depth.length > LARGE ? this.state.rested : shown.f, func = this.func(f),
      around = trees && f !== "" ? this.made.neighbours(trees.tree, f) : null;
    return h("div", { class: "body" },
      h("div", { ref: this.view, id: "view", class: "content", role: "tabpanel", "aria-labelledby": `view-${shown.view}`, tabIndex: -1,
        onKeyDownCapture: (/** @type {any} */ event) => this.escape(event), onPointerDown: () => { this.isByKey = false; },
        onPointerEnter: () => { this.isPointed = true; }, onPointerLeave: () => { this.isPointed = false; },
        onKeyDown: (/** @type {any} */ event) => this.key(event) },
        !trees ? this.state.away || this.state.trouble ? null : loading : this.chosenView(trees),
        trees && this.asker.isStale("tree") && !this.state.away ? h("div", { class: "over" }, loading) : null),
      h(Side, { isOpen: isPanel, close: () => { this.setState({ isPanel: false }); this.focusView(); } }, trees ? h(Panel, {
        tree: trees.tree, func, chosen: f, around, platforms: this.platforms(),
        ticks: func && data.functions ? this.made.ticks(data.functions).get(f) ?? null : null,
        lines: data.lines ? this.made.lines(data.lines).get(f) ?? [] : null, hasPills: shown.fx.some(({ kind }) => kind !== "trunk"),
        href: func ? sourceOf(template(), func) : null, actions: this.actions(),
        select: f => this.go({ f, s: "" }, true), setTemplate: () => this.setState({ asksSource: true }),
      }) : null));
  }

  /** @param {{tree: Tree, before: Tree}} trees */
  chosenView(trees) {
    const { data, tree: whole, pointed } = this.state, { fold, isFolded } = this.actions();
    if (!whole) return null;
    return h(View, {
      ref: this.viewer, shown: this.at, whole, ...trees, made: this.made, data, selected: this.selected(), transactions: this.transactions()?.list ?? NONE,
      span: this.span(),
      threads: this.threadWords(), func: this.func(), live: this.props.live, tick: this.props.tick, pointed, isPointed: () => this.isPointed, isFolded, fold,
      go: (change, isSmall) => this.go(change, isSmall), select: (f, s) => this.select(f, s),
      menu: ({ x, y, key }) => { if (key) this.setState({ menu: { x, y, key } }); },
      point: this.point,
    });
  }

  transactions() {
    return this.made.transactions(this.state.data.transactions, this.props.search);
  }

  platforms() {
    return [...new Set(this.sessions().chosen.map((/** @type {any} */ { platform }) => platform))];
  }
}

/** @type {any[]} */
const NONE = [];
