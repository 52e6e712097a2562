// @ts-check
// The span of time that a page is about: a choice of lengths that end now, or two points in time.

import { Component, createRef, h } from "../vendor/preact.js";
import { day, clock } from "../data/format.js";
import { icon } from "./icons.js";
import { MenuList } from "./parts.js";

/** @type {[string, string][]} */
const LENGTHS = [["-5m", "Last 5 min"], ["-15m", "Last 15 min"], ["-1h", "Last hour"], ["-6h", "Last 6 h"], ["-1d", "Last 24 h"], ["-7d", "Last 7 days"], ["-30d", "Last 30 days"]];

/** What a span is called. @param {string} from @param {string} to */
export function spanName(from, to) {
  if (to === "now") return LENGTHS.find(([value]) => value === from)?.[1] ?? `Since ${moment(from)}`;
  const [first, last] = [moment(from), moment(to)], day = first.slice(0, first.lastIndexOf(" ") + 1);
  return `${first} – ${day !== "" && last.startsWith(day) ? last.slice(day.length) : last}`;
}

/** @param {string} text as the API takes it */
function moment(text) {
  const seconds = Number(text);
  return /^[\d.]+$/.test(text) ? `${day(seconds * 1e6)} ${clock(seconds * 1e6)}` : text;
}

/** Seconds since 1970 of a point of time that is written as the API takes it, where it is one or counts back from now. @param {string} text @param {number} [nowMs] */
export function secondsOf(text, nowMs = Date.now()) {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === "now") return nowMs / 1000;
  const units = /** @type {Record<string, number>} */ ({ s: 1, m: 60, h: 3600, d: 86400, w: 604800 });
  let back = 0;
  for (const [, many, unit] of text.matchAll(/(\d+)([smhdw])/g)) back += Number(many) * units[unit];
  return back > 0 ? nowMs / 1000 - back : Date.parse(text) / 1000;
}

/** @typedef {{from: string, to: string, choose: (from: string, to: string) => void}} Props */

/** @extends {Component<Props, {open: "" | "menu" | "own"}>} */
export class TimeRange extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{open: "" | "menu" | "own"}} */ this.state = { open: "" };
    this.button = createRef();
    this.first = createRef();
  }

  /** @param {Props} _before @param {{open: string}} before */
  componentDidUpdate(_before, before) {
    if (this.state.open === "own" && before.open !== "own") this.first.current?.focus();
  }

  render() {
    const { from, to, choose } = this.props, { open } = this.state;
    const close = () => { this.setState({ open: "" }); this.button.current?.focus(); };
    return h("span", { class: "menu-place" },
      h("button", { type: "button", ref: this.button, "aria-haspopup": "menu", "aria-expanded": String(open !== ""), title: "Span of time", onClick: () => this.setState({ open: open ? "" : "menu" }) }, icon("clock"), spanName(from, to), icon("down")),
      open === "menu" ? h(MenuList, { name: "Span of time", right: true, at: null, close, entries: [
        ...LENGTHS.map(([value, text]) => ({ text, checked: to === "now" && from === value, act: () => choose(value, "now") })), "-",
        { text: "From … to …", act: () => this.setState({ open: "own" }) },
      ] }) : null,
      open === "own" ? this.own(close) : null);
  }

  /** @param {() => void} close */
  own(close) {
    const { from, to, choose } = this.props;
    const local = (/** @type {string} */ text) => {
      const at = new Date(secondsOf(text) * 1000);
      return isNaN(at.getTime()) ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60e3).toISOString().slice(0, 19);
    };
    const submit = (/** @type {any} */ event) => {
      event.preventDefault();
      const [a, b] = ["from", "to"].map(name => new Date(event.currentTarget.elements[name].value).getTime() / 1000);
      if (a < b) { close(); choose(String(a), String(b)); }
    };
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    // Not `value`: a live page is drawn again every two seconds, and would take back what is being typed.
    return h("form", { class: "menu right form", "aria-label": "Span of time", onSubmit: submit, onKeyDown: (/** @type {any} */ event) => { if (event.key === "Escape") close(); } },
      h("label", null, "From", h("input", { name: "from", ref: this.first, type: "datetime-local", step: 1, required: true, defaultValue: local(from) })),
      h("label", null, "To", h("input", { name: "to", type: "datetime-local", step: 1, required: true, defaultValue: local(to) })),
      h("p", null, zone), h("button", { type: "submit", class: "primary" }, "Show"));
  }
}
