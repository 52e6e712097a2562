// @ts-check
// A call tree as a flame graph on a canvas of the window's size: root at the top, largest first. Layout is arithmetic on
// arrays; drawing visits what can be seen.

import { fill } from "./colour.js";
import { duration, percent } from "./format.js";

const ROW = 20;
/** Narrower frames are drawn as part of a grey sliver. */
const SLIVER = 0.5;
const LABEL_FROM = 24;
const PERCENT_FROM = 160;

/** @typedef {import("./colour.js").Func} Func */
/** @typedef {{functions: Func[], func: number[], depth: number[], total: number[], own: number[], all: number, seen: number}} Tree */

/** Where each node begins, in microseconds from the left; and each node's parent. @param {Tree} tree */
export function layout(tree) {
  const many = tree.depth.length;
  const begin = new Float64Array(many), parent = new Int32Array(many).fill(-1);
  /** @type {number[]} */ const above = [];
  /** @type {number[]} */ const next = [0];
  for (let node = 0; node < many; node++) {
    const depth = tree.depth[node];
    above.length = depth;
    next.length = depth + 1;
    parent[node] = depth > 0 ? above[depth - 1] : -1;
    begin[node] = next[depth];
    next[depth] += tree.total[node];
    above[depth] = node;
    next[depth + 1] = begin[node];
  }
  return { begin, parent };
}

export class Flame {
  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} tip @param {(node: number) => void} zoomed */
  constructor(canvas, tip, zoomed) {
    this.canvas = canvas;
    this.tip = tip;
    this.zoomed = zoomed;
    /** @type {?Tree} */ this.tree = null;
    this.layout = { begin: new Float64Array(), parent: new Int32Array() };
    /** The functions from the root to the frame that fills the width: it outlives the tree. @type {string[]} */
    this.path = [];
    this.zoom = -1;
    this.top = 0;
    this.hover = -1;
    canvas.addEventListener("mousemove", event => this.point(event));
    canvas.addEventListener("mouseleave", () => this.leave());
    canvas.addEventListener("click", event => this.zoomTo(this.at(event)));
    canvas.addEventListener("keydown", event => { if (event.key === "Escape" || event.key === "0") this.zoomTo(-1); });
    canvas.addEventListener("wheel", event => this.scroll(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** @param {Tree} tree */
  show(tree) {
    this.tree = tree;
    this.layout = layout(tree);
    this.zoom = this.find(this.path);
    this.hover = -1;
    this.draw();
  }

  /** The node that is reached by these names. @param {string[]} path */
  find(path) {
    if (!this.tree) return -1;
    let at = 0, found = -1;
    for (let node = 0; node < this.tree.depth.length && at < path.length; node++) {
      const depth = this.tree.depth[node];
      if (depth < at) break;
      if (depth === at && this.tree.functions[this.tree.func[node]].name === path[at]) { found = node; at++; }
    }
    return at === path.length ? found : -1;
  }

  /** @param {number} node */
  zoomTo(node) {
    if (!this.tree) return;
    this.zoom = node;
    this.path = [];
    for (let at = node; at >= 0; at = this.layout.parent[at]) this.path.unshift(this.tree.functions[this.tree.func[at]].name);
    this.top = 0;
    this.zoomed(node);
    this.draw();
  }

  /** @param {WheelEvent} event */
  scroll(event) {
    if (!this.tree) return;
    const rows = this.tree.depth.reduce((most, depth) => Math.max(most, depth + 1), 0);
    const most = Math.max(0, rows * ROW - this.canvas.clientHeight);
    const top = Math.min(most, Math.max(0, this.top + event.deltaY));
    if (top !== this.top) { event.preventDefault(); this.top = top; this.draw(); }
  }

  /** The span of time that fills the width. */
  window() {
    if (!this.tree) return [0, 1];
    if (this.zoom < 0) return [0, Math.max(1, this.tree.all)];
    return [this.layout.begin[this.zoom], Math.max(1, this.tree.total[this.zoom])];
  }

  /** @param {MouseEvent} event @returns {number} the node under the pointer, -1 for none */
  at(event) {
    if (!this.tree) return -1;
    const [from, width] = this.window();
    const time = from + event.offsetX / this.canvas.clientWidth * width;
    const row = Math.floor((event.offsetY + this.top) / ROW);
    const { begin } = this.layout;
    for (let node = 0; node < begin.length; node++) {
      if (this.tree.depth[node] === row && begin[node] <= time && time < begin[node] + this.tree.total[node]) return node;
    }
    return -1;
  }

  /** @param {MouseEvent} event */
  point(event) {
    const node = this.at(event);
    if (node !== this.hover) { this.hover = node; this.draw(); }
    this.tip.hidden = node < 0;
    if (node < 0 || !this.tree) return;
    const tree = this.tree, func = tree.functions[tree.func[node]];
    const place = func.path ?? func.file ?? func.package ?? "";
    this.tip.replaceChildren(
      line("b", func.name),
      line("div", [func.module, place + (func.line ? ":" + func.line : "")].filter(Boolean).join(" · ")),
      line("div", `total ${duration(tree.total[node])}, ${percent(tree.total[node], tree.all)}`),
      line("div", `self ${duration(tree.own[node])}, ${percent(tree.own[node], tree.all)}`));
    const box = this.canvas.getBoundingClientRect();
    const right = event.offsetX + 14 + this.tip.offsetWidth > box.width;
    this.tip.style.left = (right ? event.offsetX - 14 - this.tip.offsetWidth : event.offsetX + 14) + "px";
    this.tip.style.top = Math.min(event.offsetY + 44, Math.max(0, box.height - this.tip.offsetHeight)) + "px";
  }

  leave() {
    this.tip.hidden = true;
    this.hover = -1;
    this.draw();
  }

  draw() {
    const { canvas, tree } = this, context = canvas.getContext("2d");
    const ratio = devicePixelRatio, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (!context || wide === 0) return;
    if (canvas.width !== wide * ratio || canvas.height !== high * ratio) { canvas.width = wide * ratio; canvas.height = high * ratio; }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, high);
    if (!tree) return;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const ink = dark ? "#f4f5f7" : "#15181e", sliver = dark ? "#3a404a" : "#cdd2da";
    context.font = "11.5px " + getComputedStyle(canvas).fontFamily;
    context.textBaseline = "middle";
    /** @type {string[]} */ const fills = [];
    const [from, width] = this.window(), scale = wide / width, { begin } = this.layout;
    /** Where the last sliver of each row ends. @type {number[]} */ const slivers = [];
    for (let node = 0; node < begin.length; node++) {
      const y = tree.depth[node] * ROW - this.top;
      if (y + ROW < 0 || y > high) continue;
      const left = Math.max(0, (begin[node] - from) * scale);
      const right = Math.min(wide, (begin[node] + tree.total[node] - from) * scale);
      if (right <= left) continue;
      if (right - left < SLIVER) {
        if (left >= (slivers[tree.depth[node]] ?? -1)) {
          context.fillStyle = sliver;
          context.fillRect(left, y, 1, ROW - 1);
          slivers[tree.depth[node]] = left + 1;
        }
        continue;
      }
      const index = tree.func[node], func = tree.functions[index];
      context.fillStyle = fills[index] ??= fill(func, dark);
      const gap = right - left > 3 ? 1 : 0;
      context.fillRect(left, y, right - left - gap, ROW - 1);
      if (node === this.hover) { context.strokeStyle = ink; context.strokeRect(left + 0.5, y + 0.5, right - left - gap - 1, ROW - 2); }
      if (right - left >= LABEL_FROM) label(context, ink, func.name, percent(tree.total[node], tree.all), left, right - gap, y);
    }
  }
}

/** @param {string} tag @param {string} text */
function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {CanvasRenderingContext2D} context @param {string} ink @param {string} name @param {string} share
 *  @param {number} left @param {number} right @param {number} y */
function label(context, ink, name, share, left, right, y) {
  context.fillStyle = ink;
  let room = right - left - 8;
  if (right - left >= PERCENT_FROM) {
    const wide = context.measureText(share).width;
    context.fillText(share, right - 4 - wide, y + ROW / 2);
    room -= wide + 8;
  }
  context.fillText(fit(context, name, room), left + 4, y + ROW / 2);
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function fit(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let short = 0, long = text.length;
  while (short < long) {
    const middle = (short + long + 1) >> 1;
    if (context.measureText(text.slice(0, middle) + "…").width <= room) short = middle; else long = middle - 1;
  }
  return short > 0 ? text.slice(0, short) + "…" : "";
}
