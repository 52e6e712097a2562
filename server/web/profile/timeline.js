// @ts-check
// CPU, transactions, spans and threads on one axis of time, and the window that the rest of the page is of: drag makes one, drag inside moves it,
// a double click drops it.

import { Component, createRef, h } from "../vendor/preact.js";
import { span as spanWords, ticks, timeOf } from "../data/axis.js";
import { cores, count, duration, percent } from "../data/format.js";
import { icon } from "../shell/icons.js";
import { kept, MenuList } from "../shell/parts.js";
import { onTheme } from "../shell/theme.js";
import { activity, isBad, itemAt, lane, laned, marksOf, threadName, usage, COLUMN } from "./lanes.js";
import { HIGH, inWords, paint, TOP } from "./strips.js";
import { Sheet } from "./sheet.js";
import { Picker } from "./threads.js";

/** A drag that is shorter is a click, pixels. */
const DRAG_MIN = 4;
/** The label of a tick needs so much, pixels. */
const TICK_ROOM = 110;
/** The words over a window need so much, pixels. */
const WORDS_WIDE = 260;
/** A tooltip comes after so long, milliseconds. */
const TIP_MS = 40;

/** @typedef {{from: number, to: number}} Span microseconds since 1970 */
/** `spans` null: this server does not tell them. `cores` of the machine, null where it is not known; `pids` by instance.
 *  @typedef {{cpu: ?import("./lanes.js").Cpu, cores: ?number, sessions: import("../data/services.js").Session[], transactions: ?{list: any[], more: boolean},
 *  spans: ?{spans: any[], more: boolean},
 *  threads: import("./lanes.js").Thread[], tid: string[], chosen: ?Span, live: boolean, choose: (span: ?Span, isSmall?: boolean) => void, zoom: () => void,
 *  chooseThreads: (tid: string[]) => void,
 *  slice: (transaction: any) => void, trace: (id: string) => void}} Props */
/** @typedef {{drag: ?Span, width: number, rows: number, tip: ?{x: number, y: number, words: string[]}, menu: ?{x: number, y: number,
 *  kind: "transactions" | "spans", item: number}, sheet: "" | "cpu" | "transactions" | "spans"}} State */

/** How many threads have a lane. */
const rowsNow = () => innerHeight < 680 ? 1 : innerWidth < 1000 ? 2 : 3;

/** Colours by what kind of work a span is: the first part of its op. @type {Record<string, string>} */
const OPS = { db: "d6", http: "d2", cache: "d3", view: "d4", template: "d4", queue: "d7", function: "d1", middleware: "d1" };

/** @extends {Component<Props, State>} */
export class Timeline extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { drag: null, width: 0, rows: rowsNow(), tip: null, menu: null, sheet: "" };
    this.box = createRef();
    this.canvas = createRef();
    this.picker = createRef();
    this.usage = kept(usage);
    this.activity = kept(activity);
    this.marks = kept(marksOf);
    this.lane = kept(lane);
    this.spanLane = kept(lane);
    this.axis = kept((/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ width) => ({ from, to, width }));
    this.isFailed = kept((/** @type {any} */ transactions) => (/** @type {number} */ item) => transactions !== null && isBad(transactions.list[item].status));
    this.never = () => false;
    this.resized = () => { if (this.state.rows !== rowsNow()) this.setState({ rows: rowsNow() }); };
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.setState({ width: this.box.current.clientWidth }));
    this.observer.observe(this.box.current);
    addEventListener("resize", this.resized);
    this.ends = onTheme(() => this.draw());
    this.draw();
  }

  componentWillUnmount() {
    this.observer?.disconnect();
    removeEventListener("resize", this.resized);
    this.ends?.();
  }

  componentDidUpdate() {
    this.draw();
  }

  draw() {
    const picture = this.picture();
    if (picture && this.canvas.current) paint(this.canvas.current, picture);
  }

  span() {
    return this.state.drag ?? this.props.chosen;
  }

  /** @returns {?import("./strips.js").Picture} */
  picture() {
    const { cpu, cores: machine, sessions, transactions, spans, threads, tid } = this.props, { width, rows } = this.state, chosen = this.span();
    if (!cpu) return null;
    const { from_us: from, to_us: to } = cpu, axis = this.axis(from, to, width), used = this.usage(cpu), busy = this.activity(cpu);
    const x = (/** @type {number} */ us) => (us - from) / Math.max(1, to - from) * width;
    const list = transactions?.list ?? [], told = spans?.spans ?? [], isFailed = this.isFailed(transactions),
      wordsAt = chosen ? this.wordsAt(x(chosen.from), x(chosen.to)) : 0;
    const fits = machine !== null && used.known && used.most >= machine / 8;
    return {
      from, to, width, rows, chosen, usage: used, starts: cpu.buckets.map(({ start_us }) => start_us), cores: fits ? machine : null,
      most: Math.max(0.1, used.most, ...used.all, fits ? machine * 1.1 : 0),
      ticks: ticks(from, to, width / TICK_ROOM), marks: this.marks(sessions), names: item => list[item].name, isFailed,
      transactions: this.lane(list, axis, isFailed),
      spans: this.spanLane(told, axis, this.never), spanNames: item => told[item].description ?? told[item].op ?? "",
      spanColour: item => OPS[(told[item].op ?? "").split(".")[0]] ?? "d5",
      since: { transactions: transactions?.more ? earliest(list) : 0, spans: spans?.more ? earliest(told) : 0 },
      threads: laned(threads, tid, rows).map(({ id }) => ({ busy: busy.get(id) ?? null, isChosen: tid.includes(id) })),
      hidden: chosen ? [wordsAt, wordsAt + WORDS_WIDE] : null,
    };
  }

  /** Where the words over a window begin. @param {number} left @param {number} right */
  wordsAt(left, right) {
    return Math.max(4, Math.min(this.state.width - WORDS_WIDE - 4, (left + right) / 2 - WORDS_WIDE / 2));
  }

  /** @param {PointerEvent} event */
  down(event) {
    const { cpu } = this.props, box = this.box.current;
    if (!cpu || event.button !== 0 || /** @type {HTMLElement} */ (event.target).closest("button, .menu, dialog")) return;
    const { left, width } = box.getBoundingClientRect(), { from_us: first, to_us: last } = cpu, now = this.props.chosen;
    const at = (/** @type {PointerEvent} */ event) => first + Math.min(1, Math.max(0, (event.clientX - left) / width)) * (last - first);
    const began = at(event), edge = /** @type {HTMLElement} */ (event.target).dataset.edge, isInside = now && began > now.from && began < now.to;
    const whole = now ?? { from: first, to: last };
    /** @type {(event: PointerEvent) => Span} */ let spanAt;
    if (edge === "from") spanAt = event => ordered(at(event), whole.to);
    else if (edge === "to") spanAt = event => ordered(whole.from, at(event));
    else if (now && isInside) spanAt = event => { const by = Math.min(last - now.to, Math.max(first - now.from, at(event) - began));
      return { from: now.from + by, to: now.to + by }; };
    else spanAt = event => ordered(began, at(event));
    const move = (/** @type {PointerEvent} */ moved) => { if (this.state.drag
      || Math.abs(moved.clientX - event.clientX) >= DRAG_MIN) this.setState({ drag: rounded(spanAt(moved)), tip: null }); };
    const end = () => {
      for (const [name, listener] of /** @type {[string, any][]} */ ([["pointermove", move], ["pointerup", up], ["pointercancel", end],
        ["keydown", escape]])) removeEventListener(name, listener, true);
      this.setState({ drag: null });
    };
    const up = (/** @type {PointerEvent} */ event) => {
      const { drag } = this.state;
      if (drag && drag.from < drag.to) this.props.choose(drag);
      else if (!edge) this.click(event);
      end();
    };
    const escape = (/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape") { event.stopPropagation(); end(); } };
    addEventListener("pointermove", move, true);
    addEventListener("pointerup", up, true);
    addEventListener("pointercancel", end, true);
    addEventListener("keydown", escape, true);
  }

  /** What is at a point. @param {{clientX: number, clientY: number}} event */
  under({ clientX, clientY }) {
    const { left, top } = this.box.current.getBoundingClientRect(), x = clientX - left, y = clientY - top;
    const kind = y < TOP.cpu ? "axis" : y < TOP.transactions ? "cpu" : y < TOP.spans ? "transactions" : y < TOP.threads ? "spans" : "threads";
    return { x, y, kind: /** @type {"axis" | "cpu" | "transactions" | "spans" | "threads"} */ (kind), row: Math.floor((y - TOP.threads) / HIGH.thread) };
  }

  /** @param {PointerEvent} event */
  click(event) {
    const { x, y, kind } = this.under(event), picture = this.picture();
    if (!picture || kind !== "transactions" && kind !== "spans") return;
    const item = itemAt(picture[kind], x, y - TOP[kind], HIGH.lane);
    if (item >= 0) this.setState({ menu: { x: event.clientX, y: event.clientY, kind, item }, tip: null });
  }

  /** @param {PointerEvent} event */
  hover(event) {
    clearTimeout(this.tipLater);
    if (event.buttons !== 0 || this.state.menu) return;
    const { x, y, kind, row } = this.under(event), words = this.wordsOf(x, y, kind, row), tip = words.length > 0 ? { x, y, words } : null;
    if (this.state.tip || !tip) { if (tip || this.state.tip) this.setState({ tip }); } else this.tipLater = setTimeout(() => this.setState({ tip }), TIP_MS);
  }

  /** What is told of a point. @param {number} x @param {number} y @param {"axis" | "cpu" | "transactions" | "spans" | "threads"} kind
   *  @param {number} row @returns {string[]} */
  wordsOf(x, y, kind, row) {
    const picture = this.picture(), { cpu, transactions, spans, threads, tid } = this.props;
    if (!picture || !cpu || kind === "axis") return [];
    const at = picture.from + x / Math.max(1, picture.width) * (picture.to - picture.from),
      bucket = Math.max(0, picture.starts.findLastIndex(start => start <= at));
    const moment = timeOf(picture.starts[bucket] ?? at, cpu.bucket_us >= 60e6 ? 60e6 : 1e6);
    if (kind === "cpu") {
      const { usage } = picture;
      return usage ? [moment, usage.known ? `${cores(usage.main[bucket] ?? 0)} cores on CPU`
        : `${cores(usage.main[bucket] ?? 0)} threads not idle; no CPU states here`,
        usage.known ? `${cores(usage.all[bucket] ?? 0)} with what was ready to run` : ""] : [];
    }
    if (kind === "threads") {
      const thread = laned(threads, tid, picture.rows)[row], busy = picture.threads[row]?.busy;
      return thread ? [threadName(thread), busy ? `${moment}: busy ${percent(busy[bucket] ?? 0, 1)}` : "how busy it was is not known here"] : [];
    }
    if (at < picture.since[kind]) return ["Earlier ones are not shown: choose a shorter span of time"];
    const { columns, failed } = picture[kind], item = itemAt(picture[kind], x, y - TOP[kind], HIGH.lane);
    if (columns) {
      const column = Math.floor(x / COLUMN), many = columns[column] ?? 0;
      return many > 0 ? [timeOf(at, 1e6), `${count(many)} ${kind}` + (failed[column] > 0 ? `, ${count(failed[column])} failed` : "")] : [];
    }
    const one = item < 0 ? null : kind === "spans" ? spans?.spans[item] : transactions?.list[item];
    if (!one) return [];
    return [kind === "spans" ? one.description ?? one.op ?? "span" : one.name,
      [kind === "spans" ? one.op : null, duration(one.end_us - one.start_us), one.status].filter(Boolean).join(" · "), `${timeOf(one.start_us, 1e3)}`];
  }

  /** @param {KeyboardEvent} event @param {"from" | "to"} edge */
  key(event, edge) {
    const { cpu, chosen, choose } = this.props, way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (event.key === "Escape" || event.key === "Delete") { event.preventDefault(); choose(null); return; }
    if (!cpu || way === undefined && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const { from_us: first, to_us: last } = cpu, step = (last - first) / Math.max(1, this.state.width) * (event.shiftKey ? 10 : 1),
      span = { ...chosen ?? { from: first, to: last } };
    const to = event.key === "Home" ? first : event.key === "End" ? last : span[edge] + step * (way ?? 0);
    span[edge] = edge === "from" ? Math.max(first, Math.min(span.to - step, to)) : Math.min(last, Math.max(span.from + step, to));
    choose(rounded(span), chosen !== null);
  }

  render() {
    const { cpu, choose } = this.props, { rows, tip, menu, sheet } = this.state, picture = this.picture(), high = TOP.threads + rows * HIGH.thread;
    return h("section", { class: "timeline", "aria-label": "Timeline", style: { height: high + 1 + "px" } },
      this.gutter(picture),
      h("div", {
        class: "chart", ref: this.box, onPointerDown: (/** @type {any} */ event) => this.down(event),
        onPointerMove: (/** @type {any} */ event) => this.hover(event),
        onPointerLeave: () => { clearTimeout(this.tipLater); if (tip) this.setState({ tip: null }); },
        onDblClick: (/** @type {any} */ event) => { if (!event.target.closest("button")) choose(null); },
      },
      h("canvas", { ref: this.canvas, role: "img", "aria-label": picture
        ? inWords(picture, { transactions: this.props.transactions?.list.length ?? 0, spans: this.props.spans?.spans.length ?? 0 }) : "not known yet" }),
      cpu && picture ? this.brush(picture) : null,
      tip && picture ? h("div", { class: "tip", style: { left: `${tip.x + 14 + 240 > picture.width ? Math.max(0, tip.x - 254) : tip.x + 14}px`,
        top: `${Math.min(tip.y + 14, high - 20)}px` } }, h("b", { dir: "auto" }, tip.words[0]), tip.words.slice(1).map((line, at) => h("div", { key: at }, line)))
        : null),
      menu ? h(MenuList, { name: "Item", right: false, at: menu, close: () => this.setState({ menu: null }), entries: this.entries(menu) }) : null,
      sheet ? h(Sheet, { ...this.sheet(sheet), close: () => this.setState({ sheet: "" }) }) : null);
  }

  /** @param {import("./strips.js").Picture} picture */
  brush(picture) {
    const { from, to, width } = picture, chosen = this.span(), span = chosen ?? { from, to };
    const x = (/** @type {number} */ us) => Math.min(width, Math.max(0, (us - from) / Math.max(1, to - from) * width)), left = x(span.from), right = x(span.to);
    const handle = (/** @type {"from" | "to"} */ edge) => h("div", {
      key: edge, class: `handle ${edge}` + (chosen ? "" : " idle"), "data-edge": edge, role: "slider", tabIndex: 0,
      "aria-label": edge === "from" ? "Start of the window" : "End of the window", "aria-orientation": "horizontal",
      "aria-valuemin": 0, "aria-valuemax": Math.round(width), "aria-valuenow": Math.round(edge === "from" ? left : right),
      "aria-valuetext": timeOf(span[edge], 1e6),
      style: { left: `${edge === "from" ? left : right}px` }, onKeyDown: (/** @type {any} */ event) => this.key(event, edge),
    });
    return [
      chosen ? h("div", { key: "brush", class: "brush", style: { left: `${left}px`, width: `${Math.max(1, right - left)}px` } }) : null,
      handle("from"), handle("to"),
      chosen ? h("div", { key: "words", class: "window-words", style: { left: `${this.wordsAt(left, right)}px`, width: WORDS_WIDE + "px" } },
        h("b", null, `${spanWords(span.from, span.to)} · ${duration(span.to - span.from)}`),
        this.state.drag ? null : h("button", { type: "button", class: "quiet square", "aria-label": "Spread the window over the axis",
          title: "Spread the window over the axis", onClick: () => this.props.zoom() }, icon("zoom"))) : null,
    ];
  }

  /** @param {?import("./strips.js").Picture} picture */
  gutter(picture) {
    const { threads, tid, transactions, spans, chooseThreads, live } = this.props, { rows } = this.state, shown = laned(threads, tid, rows),
      used = picture?.usage;
    const figure = (/** @type {?{more: boolean}} */ of, /** @type {number} */ many) => of ? count(many) + (of.more ? "+" : "") : "–";
    const title = (/** @type {?{more: boolean}} */ of, /** @type {string} */ what) => of?.more ? `The newest ${what}: view as table` : `${what}: view as table`;
    const options = threads.map(thread => ({ id: thread.id, text: threadName(thread),
      more: thread.id + (thread.names > 1 ? ` and ${thread.names - 1} more of this id` : ""), figure: thread.samples, share: thread.us }));
    const window = picture?.chosen ?? picture;
    return h("div", { class: "gutter" },
      h("div", { class: "threads-head" }, h("span", null, `${count(threads.length)} ${threads.length === 1 ? "thread" : "threads"}`),
        h(Picker, { ref: this.picker, name: "Threads", label: "Show all", all: "All threads, merged", figureOf: "samples",
          hint: "Space adds a thread, Enter shows only it", options, chosen: tid, choose: chooseThreads })),
      h("button", { type: "button", class: "quiet lane cpu", title: "View as table", onClick: () => this.setState({ sheet: "cpu" }) },
        h("span", null, h("b", null, "CPU"), used?.known === false ? " no states: threads not idle" : " cores"),
        h("span", null, used && window ? `${live ? `now ${cores(used.last)}, ` : `most ${cores(used.most)}, `}mean ${cores(used.mean(window.from, window.to))}`
          : "")),
      h("button", { type: "button", class: "quiet lane", title: title(transactions, "transactions"), onClick: () => this.setState({ sheet: "transactions" }) },
        h("span", null, "Transactions"), h("span", null, figure(transactions, transactions?.list.length ?? 0))),
      h("button", { type: "button", class: "quiet lane spans", title: title(spans, "spans"), onClick: () => this.setState({ sheet: "spans" }) },
        h("span", null, "Spans"), h("span", null, figure(spans, spans?.spans.length ?? 0))),
      shown.map(thread => h("button", {
        type: "button", key: thread.id, class: "quiet lane thread", "aria-pressed": String(tid.includes(thread.id)),
        title: `${threadName(thread)} ${thread.id}: only this thread`,
        onClick: () => chooseThreads(tid.length === 1 && tid[0] === thread.id ? [] : [thread.id]),
      }, h("span", { class: "clip", dir: "auto" }, threadName(thread)), h("span", { class: "id clip" }, thread.id),
        h("span", { class: "figure" }, count(thread.samples)))));
  }

  /** @param {{kind: "transactions" | "spans", item: number}} of @returns {import("../shell/parts.js").Entry[]} */
  entries({ kind, item }) {
    const { transactions, spans, slice, trace } = this.props, one = kind === "spans" ? spans?.spans[item] : transactions?.list[item];
    if (!one) return [{ text: "It is not shown any more", disabled: true }];
    return [{ text: kind === "spans" ? one.description ?? one.op ?? "span" : one.name },
      { text: "Profile slice", more: duration(one.end_us - one.start_us), act: () => slice(one) }, { text: "Trace", more: "", act: () => trace(one.trace_id) }];
  }

  /** @param {"cpu" | "transactions" | "spans"} sheet @returns {{title: string, heads: string[], rows: import("./sheet.js").Cell[][]}} */
  sheet(sheet) {
    const picture = this.picture(), { cpu, transactions, spans, slice, trace } = this.props;
    if (sheet === "cpu") {
      const { usage, starts = [] } = picture ?? {}, step = cpu && cpu.bucket_us < 60e6 ? 1e6 : 60e6, known = usage?.known !== false;
      const rows = starts.map((start, at) => [timeOf(start, step), cores(usage?.main[at] ?? 0), ...known ? [cores(usage?.all[at] ?? 0)] : []]).reverse();
      return { title: known ? "CPU, cores" : "Threads that were not idle", heads: ["From", ...known ? ["On CPU", "With what was ready to run"] : ["Threads"]],
        rows };
    }
    const list = (sheet === "spans" ? spans?.spans : transactions?.list) ?? [];
    return {
      title: sheet === "spans" ? "Spans" : "Transactions", heads: ["Start", "Name", "Duration", "Status", "Profile", "Trace"],
      rows: [...list].sort((a, b) => b.start_us - a.start_us).map(one =>
        [timeOf(one.start_us, 1e3), (sheet === "spans" ? one.description ?? one.op : one.name) ?? "", duration(one.end_us - one.start_us), one.status ?? "",
        { text: "Profile slice", act: () => slice(one) }, { text: "Trace", act: () => trace(one.trace_id) }]),
    };
  }
}

/** @param {{start_us: number}[]} list */
const earliest = list => list.reduce((first, { start_us }) => Math.min(first, start_us), Infinity);

/** @param {number} a @param {number} b @returns {Span} */
const ordered = (a, b) => ({ from: Math.min(a, b), to: Math.max(a, b) });

/** @param {Span} span @returns {Span} */
const rounded = ({ from, to }) => ({ from: Math.round(from), to: Math.round(to) });
