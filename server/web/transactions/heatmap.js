// @ts-check
// The heat map on a canvas: a drag, or arrows with Shift, choose cells.

import { Component, createRef, h } from "../vendor/preact.js";
import { count, duration } from "../data/format.js";
import { onTheme, token } from "../shell/theme.js";
import { LEVELS, boundOf, chosenOf, decades, level, rectOf, rectOfChosen, spanWords, sum, timeTicks, words } from "./heat.js";

/** How much of the colour each shade is. */
const SHADES = [0.16, 0.32, 0.52, 0.75, 1];
/** A tick of the time axis needs so many pixels. */
const TICK_PX = 110;
/** So near to the edge its words would be cut, a share of the width. */
const EDGE = 0.015;

/** @typedef {import("./heat.js").Heat} Heat */
/** @typedef {import("./heat.js").Chosen} Chosen */
/** @typedef {{column: number, row: number}} Cell */
/** `label` says whose transactions they are; `hint` is told what is pointed at, `list` that it is to be listed.
 *  @typedef {{heat: Heat, chosen: Chosen, label: string, choose: (chosen: ?Chosen) => void, list: () => void, hint: (words: string) => void}} Props */

/** @extends {Component<Props, {from: ?Cell, to: ?Cell, said: string, width: number}>} */
export class HeatMap extends Component {
  canvas = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** What is being chosen, from one cell to another. @type {{from: ?Cell, to: ?Cell, said: string, width: number}} */
    this.state = { from: null, to: null, said: "", width: 1000 };
    this.isDragged = false;
    /** Whether the cursor is moved by keys: only then is it seen. */ this.isKeyed = false;
  }

  componentDidMount() {
    this.offTheme = onTheme(() => this.draw());
    this.observer = new ResizeObserver(() => { this.setState({ width: this.canvas.current.clientWidth }); this.draw(); });
    this.observer.observe(this.canvas.current);
    this.draw();
  }

  componentDidUpdate() {
    this.draw();
  }

  componentWillUnmount() {
    this.offTheme?.();
    this.observer?.disconnect();
  }

  /** The cells that are chosen: now, or by the address. */
  rect() {
    const { from, to } = this.state, { heat, chosen } = this.props;
    if (this.isDragged && from && to) return { rect: rectOf(from, to), exact: true };
    const isChosen = Object.values(chosen).some(Boolean);
    return isChosen ? rectOfChosen(heat, chosen) : null;
  }

  draw() {
    const canvas = this.canvas.current, { heat } = this.props;
    if (!canvas || canvas.clientWidth === 0) return;
    const ratio = devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) { canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio); }
    const to = canvas.getContext("2d"), many = heat.high - heat.low + 1;
    const x = (/** @type {number} */ column) => Math.round(column * wide / heat.columns * ratio) / ratio;
    const width = (/** @type {number} */ column) => Math.max(1, x(column + 1) - x(column) - 0.5);
    const y = (/** @type {number} */ row) => Math.round((heat.high + 1 - row) * high / many * ratio) / ratio;
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    to.clearRect(0, 0, wide, high);
    for (let shade = 1; shade <= LEVELS; shade++) {
      to.fillStyle = token("cpu");
      to.globalAlpha = SHADES[shade - 1];
      this.cells((column, row, at) => {
        if (level(heat.all[at], heat.most) === shade) to.fillRect(x(column), y(row + 1), width(column), Math.max(1, y(row) - y(row + 1) - 0.5));
      });
    }
    to.globalAlpha = 1;
    to.fillStyle = token("bad");
    // As long as their part of the cell.
    this.cells((column, row, at) => {
      if (heat.failed[at] > 0 && heat.all[at] > 0) to.fillRect(x(column), y(row) - 2, Math.max(1.5, width(column) * Math.min(1, heat.failed[at] / heat.all[at])), 1.5);
    });
    const chosen = this.rect();
    if (chosen) frame(x(chosen.rect.c0), y(chosen.rect.r1 + 1), x(chosen.rect.c1 + 1), y(chosen.rect.r0), 2);
    const cursor = this.state.to;
    if (cursor && this.isKeyed && document.activeElement === canvas) frame(x(cursor.column), y(cursor.row + 1), x(cursor.column + 1), y(cursor.row), 1);

    function frame(/** @type {number} */ left, /** @type {number} */ top, /** @type {number} */ right, /** @type {number} */ bottom, /** @type {number} */ thick) {
      to.strokeStyle = token("acc");
      to.lineWidth = thick;
      to.strokeRect(left + thick / 2, top + thick / 2, Math.max(1, right - left - thick), Math.max(1, bottom - top - thick));
      if (thick < 2) return;
      to.fillStyle = token("acc");
      to.globalAlpha = 0.06;
      to.fillRect(left, top, right - left, bottom - top);
      to.globalAlpha = 1;
    }
  }

  /** @param {(column: number, row: number, at: number) => void} visit */
  cells(visit) {
    const { heat } = this.props;
    for (let column = 0; column < heat.columns; column++) for (let row = heat.low; row <= heat.high; row++) visit(column, row, column * heat.rows.length + row);
  }

  /** @param {MouseEvent} event @returns {Cell} */
  cell(event) {
    const { heat } = this.props, box = this.canvas.current.getBoundingClientRect();
    const part = (/** @type {number} */ value) => Math.max(0, Math.min(0.999999, value));
    const up = 1 - part((event.clientY - box.top) / box.height);
    return { column: Math.floor(part((event.clientX - box.left) / box.width) * heat.columns), row: Math.min(heat.high, heat.low + Math.floor(up * (heat.high - heat.low + 1))) };
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button !== 0) return;
    this.canvas.current.setPointerCapture(event.pointerId);
    const cell = this.cell(event);
    this.isDragged = true;
    this.isKeyed = false;
    this.setState({ from: cell, to: cell });
  }

  /** @param {PointerEvent} event */
  move(event) {
    const cell = this.cell(event), { heat, hint } = this.props;
    if (this.isDragged) this.setState({ to: cell });
    hint(words(heat, this.isDragged && this.state.from ? rectOf(this.state.from, cell) : rectOf(cell, cell)));
  }

  up() {
    if (this.isDragged) this.take();
  }

  /** What is chosen goes into the address; one cell by a click chooses that cell, or, within what is chosen, drops it. */
  take() {
    const { from, to } = this.state, { heat, chosen, choose } = this.props;
    this.isDragged = false;
    if (!from || !to) return;
    const rect = rectOf(from, to), before = Object.values(chosen).some(Boolean) ? rectOfChosen(heat, chosen)?.rect : null;
    const isOne = rect.c0 === rect.c1 && rect.r0 === rect.r1;
    const isInside = before && rect.c0 >= before.c0 && rect.c0 <= before.c1 && rect.r0 >= before.r0 && rect.r0 <= before.r1;
    choose(isOne && isInside ? null : chosenOf(heat, rect));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { heat, choose, list } = this.props, { from, to } = this.state;
    const at = to ?? { column: heat.columns - 1, row: heat.low };
    /** @type {Record<string, Cell>} */
    const moves = {
      ArrowLeft: { ...at, column: at.column - 1 }, ArrowRight: { ...at, column: at.column + 1 }, ArrowUp: { ...at, row: at.row + 1 }, ArrowDown: { ...at, row: at.row - 1 },
      Home: { ...at, column: 0 }, End: { ...at, column: heat.columns - 1 }, PageUp: { ...at, row: heat.high }, PageDown: { ...at, row: heat.low },
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (Object.hasOwn(moves, event.key)) {
      event.preventDefault();
      const next = to ? moves[event.key] : at;
      const cell = { column: Math.max(0, Math.min(heat.columns - 1, next.column)), row: Math.max(heat.low, Math.min(heat.high, next.row)) };
      this.isDragged = event.shiftKey;
      this.isKeyed = true;
      this.said(event.shiftKey ? from ?? at : cell, cell);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!to) return;
      this.take();
      list();
    } else if (event.key === "Escape" && (this.isDragged || Object.values(this.props.chosen).some(Boolean))) {
      event.preventDefault();
      this.isDragged = false;
      this.setState({ from: to, said: "Nothing is chosen" });
      choose(null);
    }
  }

  /** @param {Cell} from @param {Cell} to */
  said(from, to) {
    const text = words(this.props.heat, rectOf(from, to));
    this.setState({ from, to, said: text });
    this.props.hint(text);
  }

  render() {
    const { heat, label, hint } = this.props, { said, width } = this.state, many = heat.high - heat.low + 1;
    const whole = sum(heat, { c0: 0, c1: heat.columns - 1, r0: 0, r1: heat.rows.length - 1 });
    const chosen = this.rect();
    return h("div", { class: "tx-heat-plot" },
      h("div", { class: "tx-heat-y", "aria-hidden": "true" }, decades(heat).map(({ us, at }) => h("span", { key: us, style: { bottom: `${at * 100 / many}%` } }, roundly(us)))),
      h("div", { class: "tx-heat-box" },
        h("canvas", {
          ref: this.canvas, tabIndex: 0, role: "application", "aria-roledescription": "heat map",
          "aria-label": `Durations of ${label} over time: ${count(whole.count)}, ${count(whole.failed)} failed. `
            + "Arrows move, Shift and arrows choose, Enter lists, Escape drops. The same is in the table.",
          onPointerDown: (/** @type {any} */ event) => this.down(event), onPointerMove: (/** @type {any} */ event) => this.move(event), onPointerUp: () => this.up(),
          onPointerCancel: () => { this.isDragged = false; this.setState({ from: null, to: null }); }, onPointerLeave: () => { if (!this.isDragged) hint(""); },
          onKeyDown: (/** @type {any} */ event) => this.key(event), onFocus: () => this.draw(), onBlur: () => { hint(""); this.draw(); },
        }),
        chosen ? this.chosenWords(chosen) : null),
      h("div", { class: "tx-heat-x", "aria-hidden": "true" },
        timeTicks(heat, Math.max(2, width / TICK_PX)).filter(({ at }) => at > EDGE && at < 1 - EDGE).map(({ us, at, words }) => h("span", { key: us, style: { left: `${at * 100}%` } }, words))),
      h("div", { class: "spoken", role: "status" }, said));
  }

  /** @param {{rect: import("./heat.js").Rect, exact: boolean}} chosen */
  chosenWords({ rect, exact }) {
    const { heat, chosen } = this.props, right = (rect.c1 + 1) / heat.columns, isRight = right < 0.75;
    const text = spanWords(this.isDragged ? chosenOf(heat, rect) : chosen);
    const top = `${(heat.high - rect.r1) * 100 / (heat.high - heat.low + 1)}%`;
    const style = isRight ? { top, left: `${right * 100}%` } : { top, right: `${(1 - rect.c0 / heat.columns) * 100}%` };
    return h("span", { class: "tx-heat-chosen", style }, exact ? `${count(sum(heat, rect).count)}, ${text}` : text);
  }
}

/** Without a fraction that is nought. @param {number} us */
export function roundly(us) {
  return duration(us).replace(/\.0+(?=\D)/, "");
}

/** The cells in words, one below the other. @param {{heat: Heat, choose: (chosen: Chosen) => void}} props */
export function HeatTable({ heat, choose }) {
  const figure = (/** @type {number} */ many) => h("td", { class: "figure" }, count(many)), rows = [];
  for (let column = heat.columns - 1; column >= 0; column--) {
    for (let row = heat.high; row >= heat.low; row--) {
      const at = column * heat.rows.length + row;
      if (heat.all[at] === 0) continue;
      const chosen = chosenOf(heat, rectOf({ column, row }, { column, row }));
      const time = spanWords({ ...chosen, min: "", max: "" }), least = heat.rows[row], most = boundOf(heat.rows, row + 1);
      const length = row === 0 ? `below ${duration(most)}` : row === heat.rows.length - 1 ? `from ${duration(least)}` : `${duration(least)} – ${duration(most)}`;
      rows.push(h("tr", { key: at }, h("td", null, time), h("td", null, length), figure(heat.all[at]), figure(heat.failed[at]), figure(heat.profiled[at]),
        h("td", null, h("button", { type: "button", class: "link", "aria-label": `List ${time}, ${length}`, onClick: () => choose(chosen) }, "List"))));
    }
  }
  return h("div", { class: "tx-heat-table scroll", tabIndex: 0, role: "region", "aria-label": "Cells of the heat map" },
    h("table", null,
      h("thead", null, h("tr", null, ["Time", "Duration"].map(name => h("th", { key: name, scope: "col" }, name)),
        ["Count", "Failed", "With profile"].map(name => h("th", { key: name, scope: "col", class: "figure" }, name)), h("th", { scope: "col" }, "Transactions"))),
      h("tbody", null, rows)));
}
