// @ts-check
// Threads in order of time: who did what when, one thread below the other, under an axis and the transactions of the time.

import { ask, func } from "../data/api.js";
import { ticks, timeOf } from "../data/axis.js";
import { clean } from "../data/colour.js";
import { clock, count, duration } from "../data/format.js";
import { found } from "../data/search.js";
import { sceneOfChart } from "../data/scene.js";
import { busiest, chart, pilled } from "../data/timeline.js";
import { Loading, Nothing, kept } from "../shell/parts.js";
import { onTheme } from "../shell/theme.js";
import { Component, createRef, h } from "../vendor/preact.js";
import { Graph } from "./graph.js";
import { fitted, fontOf, ROW, sized, Theme } from "./painter.js";

/** More samples are not asked for: nobody could see them, and they take long. */
const SAMPLES_MAX = 400_000;
/** More threads than this are not drawn below each other. */
const THREADS_MAX = 8;
/** More samples than these a live page does not ask for each time, but every so-many-th. */
const QUICK_SAMPLES = 50_000, SLOW_TICKS = 10;
/** Where samples are in less of the window than this, the axis is theirs. */
const SPARSE = 0.5, MARGIN = 0.01;
const TICK_EVERY = 110, LABEL_FROM = 24;
const PAD = 4;

/** @typedef {{name: string, start_us: number, end_us: number, failed?: boolean}} Transaction */
/** `asked` are the parameters of the question: place, window, threads, states. `samples` is how many samples that is, where it is known. `narrow` makes a shorter window,
 *  microseconds since 1970. `test` is the search, where there is one; `fold` folds what all stacks of a thread begin with. The rest is as a graph has it.
 *  @typedef {{asked: Record<string, string | string[] | number | undefined>, samples: ?number, tick?: number, pills: {kind: string, name: string}[], test: ?((func: import("../data/tree.js").Func) => boolean),
 *  chosen: string, select: (key: string, frame: string) => void, mode?: import("../data/colour.js").Mode, transactions?: Transaction[], narrow: (from_us: number, to_us: number) => void,
 *  menu?: (at: import("./flame.js").MenuAt) => void, act?: (name: import("./flame.js").Act, key: string, node: number) => boolean | void, fold?: boolean, pointed?: string, onPoint?: (key: string) => void,
 *  found?: (frames: number, us: number, all: number) => void}} Props */
/** `sparse`: the axis is not that of the window. @typedef {{of: import("../data/timeline.js").Timeline, cut: ?number, sparse: boolean}} Answer */
/** @typedef {{answer: ?Answer, trouble: string}} State */

/** @param {any} body @returns {Answer} */
function answer({ origin_us, from_us, to_us, functions, stacks, threads, intervals, cut_at_us }) {
  const { start_us, length_us } = intervals;
  let first = Infinity, last = 0;
  for (let at = 0; at < start_us.length; at++) { first = Math.min(first, start_us[at]); last = Math.max(last, start_us[at] + length_us[at]); }
  const sparse = last > first && last - first < (to_us - from_us) * SPARSE, margin = Math.ceil((last - first) * MARGIN);
  const from = sparse ? Math.max(from_us, origin_us + first - margin) : from_us, to = sparse ? Math.min(to_us, origin_us + last + margin) : to_us, shift = origin_us - from;
  const moved = shift === 0 ? intervals : { ...intervals, start_us: start_us.map((/** @type {number} */ us) => us + shift) };
  return { of: { origin: from, span: to - from, functions: functions.map(func), stacks, threads, intervals: moved }, cut: cut_at_us, sparse };
}

/** @extends {Component<Props, State>} */
export class Order extends Component {
  graph = createRef();
  axis = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { answer: null, trouble: "" };
    this.asking = new AbortController();
    /** Whether an answer is waited for. */ this.isOpen = false;
    /** @type {Theme | undefined} */ this.theme = undefined;
    /** What the width shows, microseconds. */ this.view = { from: 0, to: 1 };
    this.chart = kept((/** @type {Answer} */ { of }, /** @type {Props["pills"]} */ pills, /** @type {boolean} */ fold) => {
      const order = busiest(of);
      return { chart: chart(of, order.slice(0, THREADS_MAX), pilled(of.functions, pills), fold), threads: order.length };
    });
    this.scene = kept((/** @type {import("../data/timeline.js").Chart} */ chart) => sceneOfChart(chart, ({ id, name }) => name ? `${name} (${id})` : id));
    this.found = kept((/** @type {import("../data/timeline.js").Chart} */ chart, /** @type {(func: import("../data/tree.js").Func) => boolean} */ test) => found(chart, test));
  }

  componentDidMount() {
    this.offTheme = onTheme(() => { this.theme = undefined; this.draw(); });
    this.refresh();
  }

  componentWillUnmount() {
    this.offTheme?.();
    this.asking.abort();
  }

  /** @param {Readonly<Props>} before */
  componentDidUpdate(before) {
    const { asked, tick, samples } = this.props;
    if (JSON.stringify(asked) !== JSON.stringify(before.asked) || this.isTooMuch() !== (before.samples ?? 0) > SAMPLES_MAX) this.refresh();
    else if (tick !== before.tick && !this.isOpen && ((samples ?? 0) < QUICK_SAMPLES || (tick ?? 0) % SLOW_TICKS === 0)) this.refresh();
    this.draw();
  }

  isTooMuch() {
    return (this.props.samples ?? 0) > SAMPLES_MAX;
  }

  /** Selects the next frame that the search finds, or the one before. @param {1 | -1} way */
  next(way) {
    this.graph.current?.next(way);
  }

  async refresh() {
    if (this.isTooMuch()) return;
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.isOpen = true;
    try {
      const body = await ask("timeline", this.props.asked, signal);
      if (!signal.aborted) this.setState({ answer: answer(body), trouble: "" });
    } catch (error) {
      if (!signal.aborted) this.setState({ trouble: error instanceof Error ? error.message : String(error) });
    } finally {
      if (!signal.aborted) this.isOpen = false;
    }
  }

  /** The last ten seconds, or the last hundredth. */
  shorter() {
    const { asked, samples } = this.props;
    const to = Number(asked.to) * 1e6 || Date.now() * 1e3, from = Number(asked.from) * 1e6;
    const length = from > 0 ? Math.max(1e6, (to - from) * Math.min(0.5, SAMPLES_MAX / 4 / Math.max(1, samples ?? 1))) : 10e6;
    this.props.narrow(Math.round(to - length), Math.round(to));
  }

  render() {
    const { props, state: { answer, trouble } } = this;
    if (this.isTooMuch()) {
      return h("div", { class: "order" }, h(Nothing, {
        title: `This window holds ${count(props.samples ?? 0)} samples: too many to draw in order of time.`,
        text: `Up to ${count(SAMPLES_MAX)} are drawn. Choose fewer threads, or a shorter window: drag on the axis above.`, actions: [{ text: "Show the end of it", act: () => this.shorter() }],
      }));
    }
    if (!answer) return h("div", { class: "order" }, trouble ? h("p", { class: "trouble", role: "alert" }, trouble) : h(Loading, { words: "Putting samples in order" }));
    const { chart, threads } = this.chart(answer, props.pills, props.fold ?? false), isEmpty = chart.depth.length === 0;
    const marks = props.test ? this.found(chart, props.test) : null;
    const notes = [
      answer.sparse ? `Samples are only from ${timeOf(answer.of.origin, 1e6)} to ${timeOf(answer.of.origin + answer.of.span, 1e6)}.` : "",
      answer.cut === null ? "" : `Only until ${clock(answer.cut)}: the window holds more than is answered at once. Choose a shorter one to see the rest.`,
      threads > THREADS_MAX ? `${THREADS_MAX} of ${count(threads)} threads, those that did most. Choose threads at the left of the timeline to see others.` : "",
      trouble,
    ].filter(Boolean);
    return h("div", { class: "order" },
      notes.length > 0 ? h("p", { key: "note", class: "note", role: "status" }, notes.join(" ")) : null,
      isEmpty ? h(Nothing, { key: "none", title: "No samples in this window.", text: props.pills.length > 0 ? "Nothing is left of it: remove a pill above." : "Threads that slept the whole time have none." })
        : h(Graph, {
          key: "graph", ref: this.graph, title: "Time order", words: "flame chart", tree: chart, scene: this.scene(chart), hits: marks?.hits ?? null, chosen: props.chosen, select: props.select, mode: props.mode,
          head: h("canvas", { key: "axis", ref: this.axis, class: "axis" + (props.transactions?.length ? " tall" : ""), role: "img", "aria-label": this.words(chart) }),
          shares: (/** @type {number} */ node) => duration(chart.total[node]), more: node => ["Began", timeOf(chart.origin + chart.begin[node], 1e3)], menu: props.menu, act: props.act, pointed: props.pointed, onPoint: props.onPoint,
          onView: (from, to) => { if (from !== this.view.from || to !== this.view.to) { this.view = { from, to }; this.draw(); } },
        }));
  }

  /** @param {import("../data/timeline.js").Chart} chart */
  words({ origin, span, tracks }) {
    const many = this.props.transactions?.length ?? 0;
    return `${clock(origin)} to ${clock(origin + span)}, ${duration(span)}; ${tracks.length} threads${many > 0 ? `; ${count(many)} transactions` : ""}`;
  }

  /** The axis, and the transactions below it. */
  draw() {
    const canvas = this.axis.current, { answer } = this.state;
    if (!canvas || !answer || canvas.clientWidth === 0) return;
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) return;
    const theme = this.theme ??= new Theme(), [wide, high] = sized(canvas, context), { from, to } = this.view, scale = wide / (to - from), { origin } = answer.of;
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, wide, high);
    context.textBaseline = "middle";
    context.font = fontOf(canvas);
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    for (const { at, text } of ticks(origin + from, origin + to, wide / TICK_EVERY)) {
      const x = Math.round((at - origin - from) * scale) + 0.5;
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, high);
      context.stroke();
      context.fillStyle = theme.ink3;
      context.fillText(text, x + PAD, 11);
    }
    const rows = this.props.transactions ?? [];
    for (const { name, start_us, end_us, failed } of rows) {
      const left = Math.max(0, (start_us - origin - from) * scale), right = Math.min(wide, (end_us - origin - from) * scale);
      if (right < 0 || left > wide || right < left) continue;
      context.fillStyle = theme.sel;
      context.fillRect(left, 23, Math.max(1, right - left - 1), ROW - 2);
      context.fillStyle = failed ? theme.bad : theme.accent;
      context.fillRect(left, 23, 2, ROW - 2);
      if (right - left < LABEL_FROM) continue;
      context.fillStyle = theme.ink;
      context.fillText(fitted(context, `${clean(name)}  ${duration(end_us - start_us)}`, right - left - 3 * PAD), left + 2 * PAD, 23 + ROW / 2 - 1);
    }
  }
}
