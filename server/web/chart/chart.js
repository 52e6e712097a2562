// @ts-check
// A chart over time or days, by uPlot: areas, lines or bars, on top of each other or not. It has a summary in words and a table
// of the same figures; what the pointer shows is in the table, too.

import { Component, createRef, h } from "../vendor/preact.js";
import Plot from "../vendor/uplot.js";
import { clock, day } from "../data/format.js";
import { dot } from "../shell/parts.js";
import { onTheme, token } from "../shell/theme.js";
import { label, largest, stack, ticks } from "./scale.js";

/** `colour` is a token.
 *  @typedef {{name: string, values: (number | null)[], colour: string, kind?: "area" | "line" | "bars", dashed?: boolean, hatched?: boolean}} Line */
/** At `x` a line down, at `y` a dashed line across, at both a point, with its text above it or `isBelow`.
 *  @typedef {{x?: number, y?: number, text: string, colour?: string, isBelow?: boolean}} Mark */
/** `xs` are seconds since 1970, or days where `isDays`. `window` is what stands out; `select` is told what was dragged over. A `bare` one has no axes.
 *  @typedef {{title: string, note?: string, summary: string, xs: number[], from: number, to: number, lines: Line[], stacked?: boolean, height: number, format: (value: number) => string, isDays?: boolean,
 *  axis?: "left" | "right", marks?: Mark[], window?: {from: number, to: number, colour: string}, select?: (from: number, to: number) => void, bare?: boolean, legend?: boolean}} Props */

/** The legend names so many; the rest is in the table. */
const LEGEND = 5;
const AXIS = 22;
/** Steps of the axis at the side are about so high. */
const STEP = 32;
const ALPHA = { area: 0.42, line: 0, bars: 0.85 };

/** @extends {Component<Props, {isTable: boolean, at: ?number, left: number}>} */
export class Chart extends Component {
  box = createRef();
  /** @type {?Plot} */ plot = null;
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

  draw() {
    const { lines, stacked, bare, axis, isDays, height, marks = [] } = this.props;
    const shape = JSON.stringify([lines.map(({ name, colour, kind, dashed, hatched }) => [name, colour, kind, dashed, hatched]), stacked, bare, axis, isDays, height, marks.map(({ text }) => text)]);
    if (this.box.current.clientWidth === 0) return;
    if (this.plot && shape === this.shape) { this.plot.setData(this.data(), true); return; }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new Plot(this.options(), this.data(), this.box.current);
  }

  /** @returns {Plot.Options} */
  options() {
    const { lines, stacked = false, bare = false, axis = "right", isDays = false, select } = this.props;
    const font = `11px ${getComputedStyle(this.box.current).fontFamily}`, stroke = token("ink3");
    const steps = () => ticks(largest(/** @type {any} */ (this.data().slice(1)).concat([(this.props.marks ?? []).map(({ y }) => y ?? 0)])), Math.max(2, Math.round((this.props.height - AXIS - 16) / STEP)));
    const { width, height } = this.size();
    return {
      width, height, padding: bare ? [4, 0, 0, 0] : [16, axis === "right" ? 0 : 4, 0, axis === "right" ? 0 : null],
      legend: { show: false }, select: { show: select !== undefined, left: 0, top: 0, width: 0, height: 0 },
      cursor: { y: false, points: { show: false }, drag: { x: select !== undefined, y: false, setScale: false } },
      scales: {
        x: { time: false, range: () => [this.props.from, this.props.to] },
        y: { range: () => [0, bare ? largest(this.data().slice(1)) * 1.1 || 1 : steps().at(-1) ?? 1] },
      },
      axes: bare ? [{ show: false }, { show: false }] : [
        { stroke, font, size: AXIS, gap: 4, grid: { show: false }, ticks: { show: false }, ...(isDays ? { incrs: [1, 2, 3, 5] } : { incrs: SPANS, space: 90 }), values: (_, at) => isDays ? at.map(String) : at.map((time, place) => moment(time, at[place + 1] - time || time - at[place - 1], this.props.to - this.props.from)) },
        { stroke, font, side: axis === "right" ? 1 : 3, size: axis === "right" ? 36 : 44, gap: 6, splits: steps, ticks: { show: false }, grid: { stroke: token("line"), width: 1 }, values: (_, at) => at.map(value => label(value, at[1] - at[0])) },
      ],
      series: [{}, ...lines.map(({ colour, kind = "area", dashed, hatched }, at) => ({
        stroke: kind === "bars" ? token(hatched ? "line2" : "bg") : token(colour), width: kind === "bars" || stacked ? 1 : 1.5, points: { show: false }, dash: dashed ? [4, 3] : undefined,
        fill: ALPHA[kind] === 0 || dashed ? undefined : (/** @type {Plot} */ plot) => hatched ? hatch(plot.ctx) : clear(token(colour), ALPHA[kind]),
        paths: kind === "bars" ? Plot.paths.bars?.({ size: [0.9, 60] }) : undefined,
      }))],
      bands: stacked ? lines.slice(1).map((_, at) => ({ series: /** @type {[number, number]} */ ([at + 2, at + 1]) })) : [],
      hooks: {
        draw: [plot => this.over(plot)],
        setCursor: [({ cursor: { idx, left = 0 } }) => { if (!bare && (idx ?? null) !== this.state.at) this.setState({ at: idx ?? null, left }); }],
        setSelect: [plot => {
          const { left, width } = plot.select;
          if (width < 2) return;
          this.props.select?.(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    };
  }

  /** The marks and the window, over what is drawn. @param {Plot} plot */
  over(plot) {
    const { ctx, bbox } = plot, { marks = [], window: chosen, from, to } = this.props, ratio = Plot.pxRatio;
    const x = (/** @type {number} */ value) => plot.valToPos(value, "x", true), y = (/** @type {number} */ value) => plot.valToPos(value, "y", true);
    ctx.save();
    if (chosen) {
      const left = Math.max(bbox.left, x(chosen.from)), right = Math.min(bbox.left + bbox.width, x(chosen.to)), high = plot.ctx.canvas.height;
      ctx.fillStyle = clear(token("sunken"), 0.66);
      ctx.fillRect(bbox.left, 0, left - bbox.left, high);
      ctx.fillRect(right, 0, bbox.left + bbox.width - right, high);
      ctx.strokeStyle = token(chosen.colour);
      ctx.lineWidth = 1.5 * ratio;
      if (right - left > 1) ctx.strokeRect(left + ratio, ratio, right - left - 2 * ratio, high - 2 * ratio);
    }
    ctx.font = `${11 * ratio}px ${getComputedStyle(this.box.current).fontFamily}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    let free = 0;
    for (const mark of marks) {
      const colour = token(mark.colour ?? "ink"), wide = ctx.measureText(mark.text).width;
      ctx.strokeStyle = ctx.fillStyle = colour;
      ctx.lineWidth = ratio;
      if (mark.x !== undefined && mark.y !== undefined) {
        const [left, top] = [x(mark.x), y(mark.y)];
        ctx.beginPath();
        ctx.arc(left, top, 3.5 * ratio, 0, 2 * Math.PI);
        ctx.fill();
        ctx.fillText(mark.text, Math.max(bbox.left, left - wide - 8 * ratio), mark.isBelow ? top + 12 * ratio : Math.max(8 * ratio, top - 11 * ratio));
      } else if (mark.x !== undefined) {
        if (mark.x < from || mark.x > to) continue;
        const left = Math.round(x(mark.x)) + 0.5, isRight = left + wide + 12 * ratio < bbox.left + bbox.width, at = isRight ? left + 6 * ratio : left - wide - 6 * ratio;
        line(ctx, left, ratio * 2, left, bbox.top + bbox.height);
        if (at >= free) ctx.fillText(mark.text, at, 8 * ratio);
        if (at >= free) free = at + wide + 8 * ratio;
      } else if (mark.y !== undefined) {
        const top = Math.round(y(mark.y)) + 0.5;
        ctx.setLineDash([4 * ratio, 3 * ratio]);
        line(ctx, bbox.left, top, bbox.left + bbox.width, top);
        ctx.setLineDash([]);
        ctx.fillStyle = token("bg");
        ctx.fillRect(bbox.left + 6 * ratio, top - 7 * ratio, wide + 8 * ratio, 14 * ratio);
        ctx.fillStyle = colour;
        ctx.fillText(mark.text, bbox.left + 10 * ratio, top);
      }
    }
    ctx.restore();
  }

  render() {
    const { title, note, summary, lines, height, bare, legend = true } = this.props, { isTable } = this.state;
    const plot = h("div", { class: "plot", style: { height: height + "px" } },
      h("div", { ref: this.box, class: "plot-box", role: "img", "aria-label": `${title}: ${summary}` }), this.tip(), isTable ? this.table() : null);
    if (bare) return plot;
    return h("figure", { class: "chart" },
      h("figcaption", null, h("span", { class: "clip", title: note }, h("b", null, title), note ? h("span", { class: "note" }, " ", note) : null),
        legend ? h("span", { class: "legend", "aria-hidden": "true" }, lines.slice(0, LEGEND).map(({ name, colour, hatched }) => h("span", { key: name, class: "clip", title: name }, hatched ? h("span", { class: "dot hatched" }) : dot(`var(--${colour})`), h("bdi", null, name))), lines.length > LEGEND ? `+${lines.length - LEGEND}` : null) : null,
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
    const shown = lines.filter(({ values }) => (values[at] ?? null) !== null), isFar = left > this.box.current.clientWidth / 2;
    return h("div", { class: "chart-tip", "aria-hidden": "true", style: isFar ? { right: `${this.box.current.clientWidth - left + 14}px` } : { left: `${left + 60}px` } },
      h("b", null, this.name(xs[at])),
      shown.slice(0, 8).map(({ name, colour, values }) => h("div", { key: name }, dot(`var(--${colour})`), h("bdi", { class: "clip" }, name), h("span", { class: "figure" }, format(/** @type {number} */ (values[at]))))));
  }

  table() {
    const { title, xs, lines, format, isDays } = this.props;
    return h("div", { class: "scroll chart-table", tabIndex: 0, role: "region", "aria-label": `${title}, as a table` },
      h("table", null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, isDays ? "Day" : "At"), lines.map(({ name }) => h("th", { key: name, scope: "col", class: "figure", title: name }, h("bdi", null, name))))),
        h("tbody", null, xs.map((x, at) => h("tr", { key: x }, h("th", { scope: "row" }, this.name(x)), lines.map(({ name, values }) => {
          const value = values[at] ?? null;
          return h("td", { key: name, class: "figure" }, value === null ? "–" : format(value));
        }))))));
  }
}

/** Steps of an axis of time, seconds. */
const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800];

/** @param {number} time @param {number} step @param {number} span all of them seconds */
function moment(time, step, span) {
  if (span > 4 * 86400 || step >= 86400) return day(time * 1e6);
  return step < 60 ? clock(time * 1e6) : clock(time * 1e6).slice(0, 5);
}

/** @param {string} colour as `token` says it @param {number} alpha */
function clear(colour, alpha) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

/** What is expected, not measured. @param {CanvasRenderingContext2D} context */
function hatch(context) {
  const tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = 6;
  if (pen) { pen.strokeStyle = token("line2"); line(pen, -1, 7, 7, -1); }
  return context.createPattern(tile, "repeat") ?? token("line");
}

/** @param {CanvasRenderingContext2D} context @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
