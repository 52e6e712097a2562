// @ts-check
// The spans of a trace below each other on one axis of time, as a tree grid; of thousands only those that can be seen are there.

import { Component, createRef, h } from "../vendor/preact.js";
import { duration } from "../data/format.js";
import { icon } from "../shell/icons.js";
import { isFailed } from "../transactions/list.js";
import { Mini } from "./mini.js";
import { group, sliceOfRow } from "./spans.js";

const ROW = 26;
/** The row below the selected one that shows its profile. */
const MINI = 58;
/** Rows beyond both edges that are drawn, too. */
const SPARE = 8;
/** Deeper spans are not moved any further to the right. */
const DEPTH_MAX = 14;
const INDENT = 13;
/** The bars leave so much of the width free for their lengths. */
const WIDE = 0.94;
const TICKS = 4;
/** A profile is marked where it tells more than the spans: on spans of this part of the trace of which children cover less than half. */
const MARK_PART = 0.05;

/** @typedef {import("./spans.js").Row} Row */
/** `begin` and `end` are those of the axis. `gapWords` are what the profiles know of gaps, by key; `seen` is told which gaps are on the screen.
 *  @typedef {{trace: import("./spans.js").Trace, rows: Row[], begin: number, end: number, selected: string,
 *  mini: ?{chart: ?ReturnType<typeof import("./frames.js").frames>, words: string, thread: string}, gapWords: Map<string, string>,
 *  select: (key: string) => void, toggle: (row: Row, open: boolean) => void, open: (row: Row) => void, zoom: (key: string) => void, seen: (gaps: Row[]) => void}} Props */

/** @extends {Component<Props, {top: number, high: number}>} */
export class Waterfall extends Component {
  box = createRef();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{top: number, high: number}} */ this.state = { top: 0, high: 800 };
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.setState({ high: this.box.current.clientHeight }));
    this.observer.observe(this.box.current);
    this.reveal();
    this.tellSeen();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    if (before.selected !== this.props.selected) this.reveal();
    this.tellSeen();
  }

  componentWillUnmount() {
    this.observer?.disconnect();
  }

  tellSeen() {
    const { rows, seen } = this.props, { first, last } = this.window();
    seen(rows.slice(first, last).filter(({ kind }) => kind === "gap"));
  }

  /** @returns {number} the selected row's place, -1 for none */
  at() {
    return this.props.rows.findIndex(({ key }) => key === this.props.selected);
  }

  /** @param {number} row @param {number} at the selected row */
  topOf(row, at) {
    return row * ROW + (this.props.mini && at >= 0 && row > at ? MINI : 0);
  }

  window() {
    const { top, high } = this.state, { rows } = this.props;
    return { first: Math.max(0, Math.floor((top - MINI) / ROW) - SPARE), last: Math.min(rows.length, Math.ceil((top + high) / ROW) + SPARE) };
  }

  /** Scrolls so far that the selected row is seen. */
  reveal() {
    const box = this.box.current, at = this.at();
    if (!box || at < 0) return;
    const top = this.topOf(at, at), bottom = top + ROW + (this.props.mini ? MINI : 0), head = ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + box.clientHeight - head) box.scrollTop = bottom - box.clientHeight + head;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { rows, toggle, select, open, trace } = this.props, at = this.at(), row = rows[at];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isSpan = (/** @type {Row} */ { kind }) => kind === "span";
    const after = (/** @type {(row: Row) => boolean} */ is) => { const next = rows.findIndex((row, place) => place > at && is(row)); return next < 0 ? at : next; };
    const before = (/** @type {(row: Row) => boolean} */ is) => { const next = rows.findLastIndex((row, place) => place < at && is(row)); return next < 0 ? at : next; };
    const page = Math.max(1, Math.floor(this.state.high / ROW) - 2);
    /** @type {number | undefined} */ let to;
    switch (event.key) {
      case "ArrowDown": to = at + 1; break;
      case "ArrowUp": to = at < 0 ? 0 : at - 1; break;
      case "j": to = after(isSpan); break;
      case "k": to = before(isSpan); break;
      case "g": to = after(({ kind }) => kind === "gap"); if (to === at) to = Math.max(at, 0, rows.findIndex(({ kind }) => kind === "gap")); break;
      case "Home": to = 0; break;
      case "End": to = rows.length - 1; break;
      case "PageDown": to = at + page; break;
      case "PageUp": to = at - page; break;
      case "ArrowRight": if (row?.open === false) toggle(row, true); else if (row?.open) to = at + 1; break;
      case "ArrowLeft": if (row?.open) toggle(row, false); else if (row) to = this.above(row, at); break;
      case "Enter": if (row) open(row); break;
      case "z": if (row) this.props.zoom(row.key); break;
      case "Backspace": this.props.zoom(""); break;
      default: return;
    }
    event.preventDefault();
    if (to !== undefined && rows.length > 0) select(rows[Math.max(0, Math.min(rows.length - 1, to))].key);
  }

  /** The row of the span that a row is part of, or the row itself. @param {Row} row @param {number} at its place */
  above(row, at) {
    const { rows, trace } = this.props, above = row.kind === "gap" ? row.at : trace.spans[row.at].parent;
    const to = rows.findIndex(({ kind, at }) => kind === "span" && at === above);
    return to < 0 ? at : to;
  }

  render() {
    const { rows, begin, end, selected, mini } = this.props, { first, last } = this.window(), at = this.at();
    const active = at >= first && at < last ? `span-row-${at}` : undefined;
    return h("div", {
      class: "tr-grid", ref: this.box, role: "treegrid", tabIndex: 0, "aria-label": "Spans", "aria-rowcount": rows.length + 1, "aria-activedescendant": active,
      onScroll: (/** @type {any} */ event) => this.setState({ top: event.currentTarget.scrollTop }), onKeyDown: (/** @type {any} */ event) => this.key(event),
      onFocus: () => { if (at < 0 && rows.length > 0) this.props.select(rows[0].key); },
    },
    h("div", { role: "rowgroup", class: "tr-head" }, h("div", { role: "row", "aria-rowindex": 1, class: "tr-row" },
      h("div", { role: "columnheader", class: "tr-name" }, "Span"),
      h("div", { role: "columnheader", class: "tr-time", "aria-label": `Time, 0 to ${duration(end - begin)}` }, Array.from({ length: TICKS + 1 }, (_, tick) =>
        h("span", { key: tick, style: { left: `${tick * 100 * WIDE / TICKS}%` } }, tick === 0 ? "0" : duration((end - begin) * tick / TICKS)))))),
    h("div", { role: "rowgroup", class: "tr-rows", style: { height: `${rows.length * ROW + (mini ? MINI : 0)}px` } },
      rows.slice(first, last).map((row, place) => row.kind === "gap" ? this.gap(row, first + place, at, selected) : this.span(row, first + place, at, selected)),
      mini && at >= 0 ? this.mini(rows[at], at) : null));
  }

  /** What every row has. @param {Row} row @param {number} place @param {number} at @param {string} selected @returns {Record<string, unknown>} */
  attributes(row, place, at, selected) {
    return {
      key: row.key, id: `span-row-${place}`, role: "row", "aria-rowindex": place + 2, "aria-level": row.level, "aria-setsize": row.size, "aria-posinset": row.place,
      "aria-expanded": row.open === null ? undefined : String(row.open), "aria-selected": String(row.key === selected),
      style: { top: `${this.topOf(place, at)}px` }, onClick: () => this.props.select(row.key), onDblClick: () => this.props.zoom(row.key),
    };
  }

  /** @param {Row} row @param {number} place @param {number} at @param {string} selected */
  span(row, place, at, selected) {
    const { trace, toggle } = this.props, { op, name, status, notes, isSegment, segment, cover } = trace.spans[row.at];
    const length = row.end - row.begin, tellsMore = isSegment || length >= MARK_PART * (trace.end - trace.begin) && cover * 2 < length;
    const hasProfile = tellsMore && segment?.has_profile && sliceOfRow(trace, row) !== null;
    const turn = (/** @type {Event} */ event) => { event.stopPropagation(); toggle(row, !row.open); };
    return h("div", { class: "tr-row", ...this.attributes(row, place, at, selected) },
      h("div", { role: "gridcell", class: "tr-name", style: { paddingLeft: `${indent(row)}px` }, title: `${op} ${name}`.slice(0, 500) },
        row.open === null ? h("span", { class: "tr-open" }) : h("span", { class: "tr-open", "aria-hidden": "true", onClick: turn }, icon(row.open ? "down" : "right")),
        h("span", { class: "tr-op", dir: "auto" }, op.slice(0, 80)), " ",
        h("span", { class: "clip" + (isSegment ? " is-segment" : ""), dir: "auto" }, name.slice(0, 300) || (op === "" ? "without a name" : "")),
        isFailed(status) ? h("span", { class: "tr-failed" }, "failed") : null,
        notes.length > 0 ? h("span", { class: "tr-note", title: notes.join(" ") }, icon("warn"), h("span", { class: "spoken" }, notes.join(" "))) : null,
        hasProfile ? h("span", { class: "tr-mark", title: "A profile covers it" }, icon("bars"), h("span", { class: "spoken" }, ", with a profile")) : null),
      h("div", { role: "gridcell", class: "tr-time" }, this.bar(row, group(op), duration(length))));
  }

  /** @param {Row} row @param {number} place @param {number} at @param {string} selected */
  gap(row, place, at, selected) {
    const words = this.props.gapWords.get(row.key);
    return h("div", { class: "tr-row is-gap", ...this.attributes(row, place, at, selected) },
      h("div", { role: "gridcell", class: "tr-name", style: { paddingLeft: `${indent(row)}px` } }, h("span", { class: "tr-open" }), `no span for ${duration(row.end - row.begin)}`),
      h("div", { role: "gridcell", class: "tr-time" }, this.bar(row, "gap", words ?? "")));
  }

  /** A bar with its words where there is room: behind it, before it, or on it. @param {Row} row @param {string} kind @param {string} words */
  bar(row, kind, words) {
    const { left, width, beyond } = this.across(row), right = left + width, isGap = kind === "gap";
    const room = isGap ? 0.3 : 0.09;
    const place = beyond ? (beyond === "later" ? "before" : "behind") : 1 - right >= room ? "behind" : left >= room ? "before" : "on";
    const share = (/** @type {number} */ part) => `${part * 100}%`;
    const style = place === "behind" ? { left: share(right), maxWidth: share(1 - right) }
      : place === "before" ? { right: share(1 - left), maxWidth: share(left) } : { left: share(left), maxWidth: share(width) };
    return [
      h("span", { key: "bar", class: `tr-bar ${kind}` + (beyond ? " is-beyond" : ""), style: { left: share(left), width: share(width) } }),
      h("span", { key: "words", class: `tr-length ${place} ${kind}`, style }, beyond ? `${words}, ${beyond}` : words),
    ];
  }

  /** Where it is in the width, 0 to 1. @param {{begin: number, end: number}} of */
  across(of) {
    const { begin, end } = this.props, scale = (/** @type {number} */ us) => Math.max(0, Math.min(1, (us - begin) / (end - begin))) * WIDE;
    const left = scale(of.begin), beyond = of.end < begin ? "earlier" : of.begin > end ? "later" : "";
    return { left: Math.min(left, WIDE - 0.002), width: Math.max(0.002, scale(of.end) - left), beyond };
  }

  /** The row below the selected one: what the panel says in words, in order of time. @param {Row} row @param {number} at */
  mini(row, at) {
    const { mini, open } = this.props, { left, width } = this.across(row);
    return h("div", { key: "mini", class: "tr-mini", "aria-hidden": "true", style: { top: `${(at + 1) * ROW}px` } },
      h("div", { class: "tr-name", style: { paddingLeft: `${indent(row) + 24}px` } }, h("span", { class: "soft clip" }, mini?.thread ? `Profile, ${mini.thread}` : "Profile"),
        h("button", { type: "button", class: "link", tabIndex: -1, onClick: () => open(row) }, mini?.words ?? "")),
      h("div", { class: "tr-time" }, h("div", { class: "tr-chart", style: { left: `${left * 100}%`, width: `${width * 100}%` } }, mini?.chart ? h(Mini, { chart: mini.chart }) : null)));
  }
}

/** @param {Row} row */
function indent({ level }) {
  return 4 + Math.min(DEPTH_MAX, level - 1) * INDENT;
}
