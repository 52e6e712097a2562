// @ts-check
// CPUs in use over time, and the window that the rest of the page is of: drag makes one, a double click drops it.

import { Component, h } from "./preact.js";
import { clock, cores, duration } from "./format.js";

/** A drag that is shorter is a click. */
const DRAG_MIN = 4;

/** @typedef {{from_us: number, to_us: number, bucket_us: number, buckets: {start_us: number, on_cpu_us: number, unknown_us: number}[]}} Cpu */
/** @typedef {{from: number, to: number}} Span microseconds since 1970 */
/** @typedef {{cpu: ?Cpu, chosen: ?Span, choose: (span: ?Span) => void}} Props */

/** CPUs in use in each bucket; where no states are known, threads that were not idle. @param {Cpu} cpu */
function usage(cpu) {
  return cpu.buckets.map((bucket, at) => {
    const end = cpu.buckets[at + 1]?.start_us ?? cpu.to_us, length = Math.max(1, end - bucket.start_us);
    return (bucket.on_cpu_us + bucket.unknown_us) / length;
  });
}

/** @extends {Component<Props, {drag: ?Span}>} */
export class Timeline extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{drag: ?Span}} */ this.state = { drag: null };
    /** @type {?HTMLElement} */ this.box = null;
  }

  /** @param {PointerEvent} event */
  down(event) {
    const { cpu } = this.props, { box } = this;
    if (!cpu || !box || event.button !== 0) return;
    const { left, width } = box.getBoundingClientRect();
    const at = (/** @type {PointerEvent} */ event) => cpu.from_us + Math.min(1, Math.max(0, (event.clientX - left) / width)) * (cpu.to_us - cpu.from_us);
    const began = at(event), beganX = event.clientX;
    const move = (/** @type {PointerEvent} */ event) => {
      const now = at(event);
      this.setState({ drag: Math.abs(event.clientX - beganX) < DRAG_MIN ? null : { from: Math.round(Math.min(began, now)), to: Math.round(Math.max(began, now)) } });
    };
    const up = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      if (this.state.drag) this.props.choose(this.state.drag);
      this.setState({ drag: null });
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { cpu, chosen } = this.props, way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.props.choose(null);
    if (!cpu || way === undefined) return;
    event.preventDefault();
    const all = cpu.to_us - cpu.from_us, { from, to } = chosen ?? { from: cpu.to_us - all / 4, to: cpu.to_us }, step = all / (event.shiftKey ? 20 : 200) * way;
    const by = Math.min(cpu.to_us - to, Math.max(cpu.from_us - from, step));
    this.props.choose({ from: Math.round(from + by), to: Math.round(to + by) });
  }

  render() {
    const { cpu, chosen, choose } = this.props, span = this.state.drag ?? chosen;
    if (!cpu) return h("div", { class: "timeline" });
    const values = usage(cpu), most = Math.max(1, ...values), all = Math.max(1, cpu.to_us - cpu.from_us);
    const share = (/** @type {number} */ at) => Math.min(100, Math.max(0, (at - cpu.from_us) / all * 100));
    const points = values.map((value, at) => `${share(cpu.buckets[at].start_us)},${40 - value / most * 38}`);
    const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    const words = span
      ? `${clock(span.from)} – ${clock(span.to)} · ${duration(span.to - span.from)}`
      : `${clock(cpu.from_us)} – ${clock(cpu.to_us)} · ${duration(all)}`;
    return h("div", { class: "timeline" },
      h("div", { class: "gutter" }, h("b", null, "CPU"), " cores", h("div", null, `mean ${cores(mean)}, most ${cores(Math.max(0, ...values))}`)),
      h("div", {
        class: "chart", tabIndex: 0, role: "slider", "aria-label": "Window of time", "aria-valuetext": words, "aria-valuenow": Math.round(share(span?.from ?? cpu.from_us)),
        ref: (/** @type {any} */ box) => { this.box = box; }, onPointerDown: (/** @type {any} */ event) => this.down(event),
        onDblClick: () => choose(null), onKeyDown: (/** @type {any} */ event) => this.key(event),
      },
      h("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" },
        h("polygon", { points: `0,40 ${points.join(" ")} 100,40` }),
        h("polyline", { points: points.join(" ") }),
        span && h("rect", { class: "veil", x: 0, y: 0, width: share(span.from), height: 40 }),
        span && h("rect", { class: "veil", x: share(span.to), y: 0, width: 100 - share(span.to), height: 40 })),
      h("span", { class: "words" + (span ? " chosen" : "") }, words)));
  }
}
