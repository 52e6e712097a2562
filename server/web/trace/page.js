// @ts-check
// One trace: its spans as a waterfall, the profile opened inside the span, and gaps named by the profile.

import { Component, createRef, h } from "../vendor/preact.js";
import { ask } from "../data/api.js";
import { clock, counted, day, duration, isolated, percent } from "../data/format.js";
import { programOf, version } from "../data/services.js";
import { place } from "../shell/address.js";
import { icon } from "../shell/icons.js";
import { link } from "../shell/link.js";
import { Copy, Loading, Nothing, chip, kept } from "../shell/parts.js";
import { isFailed } from "../transactions/list.js";
import { address } from "./address.js";
import { frames } from "./frames.js";
import { SpanPanel } from "./panel.js";
import { asked, profileAddress } from "./slice.js";
import { covered, rows, sliceOfRow, trace } from "./spans.js";
import { Waterfall } from "./waterfall.js";

/** A trace may go through several projects; so many of them are asked. */
const PROJECTS_MAX = 20;
const FUNCTIONS = 6;
/** What is asked for gaps: so many functions of each, so many gaps of a trace, two at a time. */
const GAP_FUNCTIONS = 3;
const GAPS_MAX = 60;
const GAPS_AT_ONCE = 2;
/** Of longer spans no small profile is drawn, microseconds. */
const MINI_MAX_US = 30e6;
/** What is passed over by keys is not asked for. */
const SETTLED_MS = 120;

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {import("./spans.js").Row} Row */
/** `services` are named by profiler; `threads` are those that were sampled while the trace lasted; `known` is what is known of slices, `minis` their small profiles.
 *  @typedef {{answers: ?import("./spans.js").Answer[], of: string, trouble: string, services: Map<string, string>, threads: ?any[],
 *  known: Map<string, import("./panel.js").Known>, minis: Map<string, ReturnType<typeof frames>>,
 *  gapWords: Map<string, string>, isOpen: boolean}} State */

/** @extends {Component<Props, State>} */
export default class Page extends Component {
  aside = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { answers: null, of: "", trouble: "", services: new Map(), threads: null, known: new Map(), minis: new Map(), gapWords: new Map(), isOpen: false };
    this.abort = new AbortController();
    /** Gaps that were asked for, and those that wait. @type {Set<string>} */ this.gapsAsked = new Set();
    /** @type {Row[]} */ this.gapsWaiting = [];
    this.gapsBusy = 0;
    this.read = kept((/** @type {string} */ search) => address.read(search));
    this.trace = kept(trace);
    this.rows = kept((/** @type {import("./spans.js").Trace} */ of, /** @type {string} */ closed) => rows(of, new Set(JSON.parse(closed))));
    this.facts = kept(factsOf);
    this.seen = this.seen.bind(this);
  }

  componentDidMount() {
    this.load();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    if (before.search === this.props.search) return;
    const { trace, project } = this.shown();
    if (`${project} ${trace}` !== this.state.of) this.load(); else this.explain();
  }

  componentWillUnmount() {
    clearTimeout(this.later);
    this.abort.abort();
  }

  shown() {
    return this.read(this.props.search);
  }

  /** @param {Partial<import("./address.js").Shown>} change @param {boolean} [isSmall] */
  change(change, isSmall = true) {
    this.props.go("trace", address.write({ ...this.shown(), ...change }), isSmall);
  }

  async load() {
    const { project, trace: id } = this.shown(), of = `${project} ${id}`;
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.gapsAsked.clear();
    this.gapsWaiting = [];
    this.setState({ answers: null, of, trouble: "", services: new Map(), threads: null, known: new Map(), minis: new Map(), gapWords: new Map() });
    if (id === "") return;
    const one = async (/** @type {string} */ project) => ({ project, ...await ask(`traces/${encodeURIComponent(id)}`, { project }, signal) });
    try {
      const first = await one(project);
      this.setState({ answers: [first] }, () => this.explain());
      const others = (await ask("projects", {}, signal)).projects.map(String).filter((/** @type {string} */ other) => other !== project).slice(0, PROJECTS_MAX);
      const found = (await Promise.allSettled(others.map(one))).flatMap(answer => answer.status === "fulfilled" && answer.value.spans.length > 0 ? [answer.value] : []);
      const answers = found.length > 0 ? [first, ...found] : [first];
      if (found.length > 0) this.setState({ answers }, () => this.explain());
      await this.name(answers, signal);
    } catch (error) {
      if (!signal.aborted) this.setState({ trouble: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Asks who ran the trace, and how well it was sampled. @param {import("./spans.js").Answer[]} answers @param {AbortSignal} signal */
  async name(answers, signal) {
    const { begin, end, spans } = this.trace(answers);
    if (spans.length === 0) return;
    const window = asked({ project: "", profiler: "", thread: "", begin, end });
    /** @type {Map<string, string>} */ const services = new Map();
    /** @type {any[]} */ const threads = [];
    for (const { project } of answers) {
      const profilers = [...new Set(spans.filter(span => span.project === project && span.profiler).map(span => String(span.profiler)))].slice(0, PROJECTS_MAX);
      if (profilers.length === 0) continue;
      const question = { project, from: window.from, to: window.to, profiler: profilers };
      const [sessions, sampled] = await Promise.allSettled([ask("services", { project, from: window.from, to: window.to }, signal), ask("threads", question, signal)]);
      if (sessions.status === "fulfilled") for (const session of sessions.value.sessions) services.set(session.profiler_id, `${programOf(session)} ${version(session.release)}`.trim());
      if (sampled.status === "fulfilled") threads.push(...sampled.value.threads);
    }
    if (!signal.aborted) this.setState({ services, threads });
  }

  /** What is on the screen, made of the answers. */
  made() {
    const { answers } = this.state, shown = this.shown();
    if (!answers) return null;
    const trace = this.trace(answers), lines = this.rows(trace, JSON.stringify(shown.closed)), zoomed = trace.spans.find(({ key }) => key === shown.zoom);
    const { begin, end } = zoomed && zoomed.end > zoomed.begin ? zoomed : trace;
    return { trace, rows: lines, begin, end, row: lines.find(({ key }) => key === shown.span) ?? null };
  }

  /** Asks for the profile of what is selected, when it stays so for a moment. */
  explain() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.explainNow(), SETTLED_MS);
  }

  async explainNow() {
    const made = this.made();
    if (!made?.row) return;
    const { row, trace } = made, slice = sliceOfRow(trace, row), { signal } = this.abort;
    if (!slice || slice.end <= slice.begin || this.state.known.has(row.key)) return;
    const question = asked(slice);
    const [threads, functions, timeline] = await Promise.allSettled([
      ask("threads", question, signal), ask("functions", { ...question, limit: FUNCTIONS }, signal),
      slice.thread && slice.end - slice.begin <= MINI_MAX_US ? ask("timeline", question, signal) : Promise.resolve(null),
    ]);
    if (signal.aborted) return;
    /** @type {import("./panel.js").Known} */ const known = {
      threads: threads.status === "fulfilled" ? threads.value.threads : [],
      functions: functions.status === "fulfilled" ? functions.value : { functions: [], total_us: 0, samples: 0 },
      trouble: threads.status === "rejected" ? threads.reason.message : functions.status === "rejected" ? functions.reason.message : "",
    };
    const minis = new Map(this.state.minis);
    if (timeline.status === "fulfilled" && timeline.value && timeline.value.threads.length === 1) minis.set(row.key, frames(timeline.value));
    this.setState({ known: new Map(this.state.known).set(row.key, known), minis });
  }

  /** Gaps that came onto the screen are looked up, a few at a time. @param {Row[]} gaps */
  seen(gaps) {
    for (const gap of gaps) {
      if (this.gapsAsked.has(gap.key) || this.gapsAsked.size >= GAPS_MAX) continue;
      this.gapsAsked.add(gap.key);
      this.gapsWaiting.push(gap);
    }
    while (this.gapsBusy < GAPS_AT_ONCE && this.gapsWaiting.length > 0) this.nameGap();
  }

  async nameGap() {
    const gap = this.gapsWaiting.shift(), made = this.made(), { signal } = this.abort;
    const slice = gap && made ? sliceOfRow(made.trace, gap) : null;
    if (!gap || !slice) return;
    this.gapsBusy++;
    let words = "";
    try {
      const { functions, total_us } = await ask("functions", { ...asked(slice), limit: GAP_FUNCTIONS }, signal);
      const part = (/** @type {any} */ { function: { name }, own }) => own.us > 0 ? [`${isolated(name.slice(0, 60))} ${percent(own.us, total_us)}`] : [];
      const most = functions.flatMap(part);
      words = most.length > 0 ? `the profile knows: ${most.join(", ")}` : "the profile has no sample of it";
    } catch { /* the gap stays without words */ }
    this.gapsBusy--;
    if (signal.aborted) return;
    if (words) this.setState({ gapWords: new Map(this.state.gapWords).set(gap.key, words) });
    this.seen([]);
  }

  render() {
    const made = this.made();
    if (made && made.trace.spans.length > 0) return [h("main", { key: "main", class: "trace" }, this.head(made), this.body(made)), this.footer(made)];
    return [h("main", { key: "main", class: "trace" }, this.emptyHead(), this.nothing(made !== null)), h("footer", { key: "footer", "aria-label": "Quality" })];
  }

  /** @param {boolean} isAnswered */
  nothing(isAnswered) {
    const { trouble } = this.state, { trace: id } = this.shown();
    const one = (/** @type {string} */ title, /** @type {string} */ text, /** @type {{text: string, act: () => void}[]} */ ...actions) => h(Nothing, { title, text, actions });
    if (id === "") {
      return one("No trace is chosen.", "Press / and write the id of one, or take one from the transactions.",
        { text: "Transactions", act: () => this.props.go("transactions", place.write(this.shown())) });
    }
    if (trouble) return one("The trace cannot be shown.", trouble, { text: "Try again", act: () => { this.load(); } });
    if (!isAnswered) return h(Loading, { words: "Looking for its spans" });
    return one("No span of this trace is here.", `Nothing with the id ${id.slice(0, 64)} was received, in no project. It may have been sampled away, or it is older than what is kept.`);
  }

  crumb() {
    return [link("transactions", place.write(this.shown()), "Transactions", this.props.go, "soft"), h("span", { key: "/", class: "soft", "aria-hidden": "true" }, "/")];
  }

  emptyHead() {
    return h("div", { class: "tr-top" }, this.crumb(), h("h1", null, "Trace"), h("span", { class: "mono soft clip" }, this.shown().trace.slice(0, 64)));
  }

  /** @param {NonNullable<ReturnType<Page["made"]>>} made */
  head({ trace }) {
    const { spans, main, begin, end } = trace, { name, op, status, segment } = spans[main], id = this.shown().trace.replaceAll("-", "");
    const { segments, profiled, profiledUs, profilers } = this.facts(trace), services = new Set(segments.map(span => this.serviceOf(span)).filter(Boolean));
    const words = services.size > 0 ? `${counted(services.size, "service")} · ${counted(spans.length, "span")}` : counted(spans.length, "span");
    const showDetails = () => this.setState({ isOpen: !this.state.isOpen }, () => { if (this.state.isOpen) this.aside.current?.focus(); });
    const whole = new URLSearchParams(profileAddress({ project: spans[main].project, profiler: profilers[0] ?? "", thread: "", begin, end }));
    profilers.slice(1, PROJECTS_MAX).forEach(profiler => whole.append("instance", profiler));
    return h("div", { class: "tr-top" }, this.crumb(),
      h("h1", { class: "clip", dir: "auto", title: name.slice(0, 500) }, name.slice(0, 300) || op || "Trace"), h("span", { class: "mono soft", title: id }, id.slice(0, 16)),
      h(Copy, { text: id, name: "Copy the trace's id", class: "quiet square", say: this.props.say }),
      segment && status ? chip(status.slice(0, 40), isFailed(status) ? "bad" : "ok") : null,
      h("span", { class: "tr-facts push" }, h("b", null, duration(end - begin)), ` · ${words} · `,
        profiled.length > 0 ? ["profiles for ", h("b", { key: "b" }, percent(profiledUs, end - begin)), " of the time"] : "no profile"),
      h("button", { type: "button", class: "tr-details", "aria-pressed": String(this.state.isOpen), onClick: showDetails }, icon("panel"), "Details"),
      profilers.length > 0 ? link("profile", "?" + whole, [icon("bars"), "Profile of the whole trace"], this.props.go, "tr-button") : null);
  }

  /** @param {import("./spans.js").Span} span */
  serviceOf({ profiler, segment }) {
    const named = profiler ? this.state.services.get(profiler) : undefined, { release, platform } = segment?.transaction ?? {};
    return named ?? (release ? `${release.includes("@") ? release.slice(0, release.lastIndexOf("@")) + " " : ""}${version(release)}` : platform ?? "");
  }

  /** @param {NonNullable<ReturnType<Page["made"]>>} made */
  body({ trace, rows, begin, end, row }) {
    const shown = this.shown(), { known, minis, gapWords, isOpen } = this.state, slice = row ? sliceOfRow(trace, row) : null, knows = row ? known.get(row.key) ?? null : null;
    const open = (/** @type {Row} */ row) => {
      const slice = sliceOfRow(trace, row);
      if (slice) this.props.go("profile", profileAddress(slice)); else this.props.say("There is no profile of it");
    };
    const toggle = (/** @type {Row} */ { key }, /** @type {boolean} */ isOpen) => this.change({ closed: isOpen ? shown.closed.filter(one => one !== key) : [...shown.closed, key] });
    const zoom = (/** @type {string} */ key) => { if (key === "" || trace.spans.some(span => span.key === key)) this.change({ zoom: key }, false); };
    const select = (/** @type {string} */ key) => { if (key !== shown.span) this.change({ span: key }); };
    const samples = knows?.functions.samples ?? 0, isDrawn = row?.kind === "span" && slice && slice.thread && slice.end - slice.begin <= MINI_MAX_US && slice.end > slice.begin;
    const mini = row && isDrawn && (!knows || samples > 0) ? {
      chart: minis.get(row.key) ?? null, words: knows ? `Open slice, ${counted(samples, "sample")}` : "",
      thread: knows?.threads[0]?.name ?? trace.spans[row.at].segment?.transaction.thread_name ?? "",
    } : null;
    const shut = () => this.setState({ isOpen: false });
    return h("div", { class: "tr-body" },
      h(Waterfall, { trace, rows, begin, end, selected: shown.span, mini, gapWords, select, toggle, open, zoom, seen: this.seen }),
      h("aside", {
        ref: this.aside, class: "tr-panel" + (isOpen ? " is-open" : ""), "aria-label": "Details", tabIndex: -1,
        onKeyDown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape") shut(); },
      },
        h("button", { type: "button", class: "quiet square tr-shut", "aria-label": "Close details", onClick: shut }, icon("close")),
        row ? h(SpanPanel, {
          trace, row, slice, known: knows, service: this.serviceOf(trace.spans[row.at]), go: this.props.go,
          isZoomed: shown.zoom === row.key, zoom: () => zoom(shown.zoom === row.key ? "" : trace.spans[row.at].key),
        }) : h("p", { class: "hint" }, "Select a span: what it did is told here.")));
  }

  /** @param {NonNullable<ReturnType<Page["made"]>>} made */
  footer({ trace }) {
    const { threads } = this.state, { begin } = trace, { ran, strange } = this.facts(trace);
    const seen = threads?.filter(({ profiler_id, id }) => ran.has(`${profiler_id} ${id}`)) ?? [], samples = seen.reduce((sum, { weight }) => sum + weight.samples, 0);
    return h("footer", { key: "footer", "aria-label": "Quality" },
      threads ? h("span", null, h("span", { class: "tx-lamp" + (samples === 0 ? " warn" : "") }),
        samples > 0 ? [h("b", { key: "b" }, counted(samples, "sample")), ` on ${counted(seen.length, "thread")}`] : "no samples of its threads") : null,
      h("span", null, `began ${day(begin)} ${clock(begin)}`),
      strange > 0 ? h("span", { class: "warn" }, h("b", null, counted(strange, "span")), " with a wrong clock, parent or id: marked") : null,
      h("span", { class: "last" }, "J K move · Enter opens the profile slice · G next gap · Z zooms"));
  }
}

/** What the head and the foot say of a trace. `ran` are its threads, `profilers` those of the main span's project. @param {import("./spans.js").Trace} trace */
function factsOf({ spans, main, begin, end }) {
  const segments = spans.filter(({ isSegment }) => isSegment), profiled = segments.filter(({ segment }) => segment?.has_profile);
  const here = profiled.filter(({ project }) => project === spans[main].project);
  return {
    segments, profiled, profiledUs: covered(profiled, begin, end), profilers: [...new Set(here.flatMap(({ profiler }) => profiler ?? []))],
    ran: new Set(spans.map(({ profiler, thread }) => `${profiler} ${thread}`)), strange: spans.filter(({ notes }) => notes.length > 0).length,
  };
}
