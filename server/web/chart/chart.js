// @ts-check
// A chart over time or days, by uPlot: areas, lines or bars, on top of each other or not. It has a summary in words and a table
// of the same figures; what the pointer shows is in the table, too.

import { Component, createRef, h } from "../vendor/preact.js";
import Plot from "../vendor/uplot.js";
import { clock, day } from "../data/format.js";
import { dot } from "../shell/parts.js";
import { onTheme, token } from "../shell/theme.js";
import { clear, drawOver, hatch } from "./marks.js";
import { label, largest, stack, ticks } from "./scale.js";

/** `colour` is a token.
 *  @typedef {{name: string, values: (number | null)[], colour: string, kind?: "area" | "line" | "bars", dashed?: boolean, hatched?: boolean}} Line */
/** @typedef {import("./marks.js").Mark} Mark */
/** `xs` are seconds since 1970, or days where `isDays`. `window` is what stands out; `select` is told what was dragged over.
 *  A `bare` one has no axes, no head and no table.
 *  @typedef {{title: string, note?: string, summary: string, xs: number[], from: number, to: number, lines: Line[], stacked?: boolean, height: number,
 *  format: (value: number) => string, isDays?: boolean, axis?: "left" | "right", marks?: Mark[], window?: import("./marks.js").Window,
 *  select?: (from: number, to: number) => void, bare?: boolean, legend?: boolean}} Props */

/** The legend names so many; the rest is in the table. */
const LEGEND = 5;
/** What the pointer shows has so many rows. */
const TIP = 8;
/** Height of the axis below, and of what stands above the plot. */
const AXIS = 22, ABOVE = 16;
/** Width of the axis at the side. */
const SIDE = { left: 44, right: 36 };
/** Steps of the axis at the side are about so high. */
const STEP = 32;
const ALPHA = { area: 0.42, line: 0, bars: 0.85 };
/** Steps of an axis of time, seconds, and of days. */
const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800], DAYS = [1, 2, 3, 5];

/** @extends {Component<Props, {isTable: boolean, at: ?number, left: number}>} */
export class Chart extends Component {
  box = createRef();
  /** @type {?Plot} */ plot = null;
  /** What it was last made for. */
  shape = "";

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{isTable: boolean, at: ?number, left: number}} */ this.state = { isTable: false, at: null, left: 0 };
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => { if (this.plot) this.plot.setSize(this.size()); else this.draw(); });
    this.observer.observe(this.box.current);
    this.unlisten = onTheme(() => { this.shape = ""; this.draw(); });
    this.draw();
  }

  componentWillUnmount() {
    this.observer?.disconnect();
    this.unlisten?.();
    this.plot?.destroy();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    if (before !== this.props) this.draw();
  }

  size() {
    return { width: Math.max(1, this.box.current.clientWidth), height: this.props.height };
  }

  /** @returns {any} */
  data() {
    const { xs, lines, stacked } = this.props, values = lines.map(line => line.values);
    return [xs, ...(stacked ? stack(values) : values)];
  }

  /** Steps of the axis at the side. */
  steps() {
    const { height, marks = [], bare } = this.props, most = largest([...this.data().slice(1), marks.map(({ y }) => y ?? 0)]);
    return bare ? [0, most * 1.1 || 1] : ticks(most, Math.max(2, Math.round((height - AXIS - ABOVE) / STEP)));
  }

  draw() {
    const { lines, stacked, bare, axis, isDays, height } = this.props;
    const shape = JSON.stringify([lines.map(({ values, ...line }) => line), stacked, bare, axis, isDays, height]);
    if (this.box.current.clientWidth === 0) return;
    if (this.plot && shape === this.shape) { this.plot.setData(this.data(), true); return; }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new Plot(this.options(), this.data(), this.box.current);
  }

  /** @returns {Plot.Options} */
  options() {
    const { lines, stacked = false, bare = false, axis = "right", select } = this.props, isLeft = axis === "left";
    return {
      ...this.size(), padding: bare ? [4, 0, 0, 0] : [ABOVE, isLeft ? 4 : 0, 0, isLeft ? null : 0],
      legend: { show: false }, select: { show: select !== undefined, left: 0, top: 0, width: 0, height: 0 },
      cursor: { y: false, points: { show: false }, drag: { x: select !== undefined, y: false, setScale: false } },
      scales: { x: { time: false, range: () => [this.props.from, this.props.to] }, y: { range: () => [0, this.steps().at(-1) ?? 1] } },
      axes: bare ? [{ show: false }, { show: false }] : this.axes(axis),
      series: [{}, ...lines.map(line => series(line, stacked))],
      bands: stacked ? lines.slice(1).map((_, at) => ({ series: /** @type {[number, number]} */ ([at + 2, at + 1]) })) : [],
      hooks: {
        draw: [plot => drawOver(plot, this.props.marks ?? [], this.props.window, getComputedStyle(this.box.current).fontFamily)],
        setCursor: [({ cursor: { idx, left = 0 } }) => { if (!bare && (idx ?? null) !== this.state.at) this.setState({ at: idx ?? null, left }); }],
        setSelect: [plot => this.select(plot)],
      },
    };
  }

  /** @param {"left" | "right"} side @returns {Plot.Axis[]} */
  axes(side) {
    const font = `11px ${getComputedStyle(this.box.current).fontFamily}`, common = { stroke: token("ink3"), font, ticks: { show: false } };
    const { isDays } = this.props, span = () => this.props.to - this.props.from;
    const times = (/** @type {number[]} */ at) => at.map((time, place) => moment(time, at[place + 1] - time || time - at[place - 1], span()));
    return [
      { ...common, size: AXIS, gap: 4, grid: { show: false }, incrs: isDays ? DAYS : SPANS, space: isDays ? 50 : 90, values: (_, at) => isDays ? at.map(String) : times(at) },
      {
        ...common, side: side === "right" ? 1 : 3, size: SIDE[side], gap: 6, splits: () => this.steps(), grid: { stroke: token("line"), width: 1 },
        values: (_, at) => at.map(value => label(value, at[1] - at[0])),
      },
    ];
  }

  /** @param {Plot} plot */
  select(plot) {
    const { left, width } = plot.select;
    if (width < 2) return;
    this.props.select?.(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  render() {
    const { title, note, summary, lines, height, bare, legend = true } = this.props, { isTable } = this.state;
    const plot = h("div", { class: "plot", style: { height: height + "px" } },
      h("div", { ref: this.box, class: "plot-box", role: "img", "aria-label": `${title}: ${summary}` }), this.tip(), isTable ? this.table() : null);
    if (bare) return plot;
    return h("figure", { class: "chart" },
      h("figcaption", null,
        h("span", { class: "clip", title: note }, h("b", null, title), note ? h("span", { class: "note" }, " ", note) : null),
        legend ? h("span", { class: "legend", "aria-hidden": "true" }, lines.slice(0, LEGEND).map(named), lines.length > LEGEND ? `+${lines.length - LEGEND}` : null) : null,
        h("button", { type: "button", class: "quiet as-table", "aria-pressed": String(isTable), onClick: () => this.setState({ isTable: !isTable }) }, "View as table")),
      plot);
  }

  /** @param {number} x */
  name(x) {
    const { isDays, from, to } = this.props;
    return isDays ? String(x) : `${to - from > 20 * 3600 ? day(x * 1e6) + " " : ""}${clock(x * 1e6)}`;
  }

  tip() {
    const { xs, lines, format } = this.props, { at, left, isTable } = this.state;
    if (at === null || isTable || xs[at] === undefined) return null;
    const shown = lines.filter(({ values }) => (values[at] ?? null) !== null).slice(0, TIP), wide = this.box.current.clientWidth;
    return h("div", { class: "chart-tip", "aria-hidden": "true", style: left > wide / 2 ? { right: `${wide - left + 14}px` } : { left: `${left + 60}px` } },
      h("b", null, this.name(xs[at])),
      shown.map(({ name, colour, values }, row) => h("div", { key: row },
        dot(`var(--${colour})`), h("bdi", { class: "clip" }, name), h("span", { class: "figure" }, format(values[at] ?? 0)))));
  }

  table() {
    const { title, xs, lines, format, isDays } = this.props;
    const cell = (/** @type {number | null | undefined} */ value, /** @type {number} */ at) => h("td", { key: at, class: "figure" }, value == null ? "–" : format(value));
    return h("div", { class: "scroll chart-table", tabIndex: 0, role: "region", "aria-label": `${title}, as a table` }, h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, isDays ? "Day" : "At"),
        lines.map(({ name }, at) => h("th", { key: at, scope: "col", class: "figure", title: name }, h("bdi", null, name))))),
      h("tbody", null, xs.map((x, row) => h("tr", { key: x }, h("th", { scope: "row" }, this.name(x)), lines.map(({ values }, at) => cell(values[row], at)))))));
  }
}

/** An entry of the legend. @param {Line} line @param {number} at */
function named({ name, colour, hatched }, at) {
  return h("span", { key: at, class: "clip", title: name }, hatched ? h("span", { class: "dot hatched" }) : dot(`var(--${colour})`), h("bdi", null, name));
}

/** @param {Line} line @param {boolean} stacked @returns {Plot.Series} */
function series({ colour, kind = "area", dashed, hatched }, stacked) {
  const isBars = kind === "bars";
  return {
    stroke: isBars ? token(hatched ? "line2" : "bg") : token(colour), width: isBars || stacked ? 1 : 1.5, points: { show: false }, dash: dashed ? [4, 3] : undefined,
    fill: ALPHA[kind] === 0 ? undefined : plot => hatched ? hatch(plot.ctx) : clear(token(colour), ALPHA[kind]),
    paths: isBars ? Plot.paths.bars?.({ size: [0.9, 60] }) : undefined,
  };
}

/** @param {number} time @param {number} step @param {number} span all of them seconds */
function moment(time, step, span) {
  if (span > 4 * 86400 || step >= 86400) return day(time * 1e6);
  return step < 60 ? clock(time * 1e6) : clock(time * 1e6).slice(0, 5);
}
