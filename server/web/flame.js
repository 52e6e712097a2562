// @ts-check
// A call tree as a flame graph on a canvas of the window's size: root at the top, largest first. Drawing visits what can be
// seen; the tree's arithmetic is in `tree.js`.

import { fill } from "./colour.js";
import { duration, percent } from "./format.js";
import { keyOf, layout } from "./tree.js";

const ROW = 20;
/** Narrower frames are drawn as part of a grey sliver. */
const SLIVER = 0.5;
const LABEL_FROM = 24;
const PERCENT_FROM = 160;
/** How much of the ground is laid over frames that a search does not find, and over those that lead to one. */
const VEIL = { other: 0.8, leads: 0.52 };

/** @typedef {import("./tree.js").Func} Func */
/** @typedef {import("./tree.js").Tree} Tree */

export class Flame {
  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} tip @param {HTMLElement} spoken says the selected frame
   *  @param {(key: string) => void} select called with the function that was selected, "" for none */
  constructor(canvas, tip, spoken, select) {
    this.canvas = canvas;
    this.tip = tip;
    this.spoken = spoken;
    this.select = select;
    /** @type {?Tree} */ this.tree = null;
    this.layout = layout({ functions: [], func: [], depth: [], total: [], own: [], all: 0, seen: 0 });
    /** The functions from the root to the frame that fills the width, and to the selected one: they outlive the tree.
     *  @type {string[]} */ this.zoomPath = [];
    /** @type {string[]} */ this.path = [];
    this.zoom = -1;
    this.selected = -1;
    this.hover = -1;
    this.top = 0;
    /** By function: whether the search finds it; `null`: nothing is searched. @type {?Uint8Array} */ this.hits = null;
    /** @type {Uint8Array} */ this.leads = new Uint8Array();
    /** Drawn bold: all frames of it. */ this.chosen = "";
    canvas.addEventListener("mousemove", event => this.point(event));
    canvas.addEventListener("mouseleave", () => this.leave());
    canvas.addEventListener("click", event => this.choose(this.at(event)));
    canvas.addEventListener("dblclick", event => this.zoomTo(this.at(event)));
    canvas.addEventListener("keydown", event => { if (this.key(event.key)) event.preventDefault(); });
    canvas.addEventListener("wheel", event => this.scroll(event), { passive: false });
    canvas.addEventListener("focus", () => { if (this.selected < 0 && this.tree && this.tree.depth.length > 0) this.choose(Math.max(0, this.zoom)); });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** @param {Tree} tree @param {?Uint8Array} hits @param {string} key the selected function */
  show(tree, hits, key) {
    if (tree !== this.tree) {
      this.tree = tree;
      this.layout = layout(tree);
      this.zoom = this.find(this.zoomPath);
      this.selected = this.find(this.path);
      this.hover = -1;
    }
    if (hits !== this.hits || this.leads.length !== tree.depth.length) this.lead(hits);
    if (key === "") this.selected = -1;
    this.chosen = key;
    this.draw();
  }

  /** Which frames lead to one that is found. @param {?Uint8Array} hits */
  lead(hits) {
    const { tree, layout: { parent } } = this;
    this.hits = hits;
    this.leads = new Uint8Array(tree?.depth.length ?? 0);
    if (!tree || !hits) return;
    for (let node = this.leads.length - 1; node >= 0; node--) {
      if (parent[node] >= 0 && (this.leads[node] || hits[tree.func[node]])) this.leads[parent[node]] = 1;
    }
  }

  /** The node that is reached by these functions. @param {string[]} path */
  find(path) {
    if (!this.tree || path.length === 0) return -1;
    let at = 0;
    for (let node = 0; node < this.tree.depth.length; node++) {
      if (this.tree.depth[node] < at) return -1;
      if (this.tree.depth[node] === at && this.keyOf(node) === path[at] && ++at === path.length) return node;
    }
    return -1;
  }

  /** @param {number} node */
  keyOf(node) {
    return this.tree ? keyOf(this.tree.functions[this.tree.func[node]]) : "";
  }

  /** @param {number} node */
  pathOf(node) {
    /** @type {string[]} */ const path = [];
    for (let at = node; at >= 0; at = this.layout.parent[at]) path.unshift(this.keyOf(at));
    return path;
  }

  /** @param {number} node */
  choose(node) {
    if (!this.tree) return;
    this.selected = node;
    this.path = this.pathOf(node);
    this.reveal(node);
    this.spoken.textContent = node < 0 ? "" : this.words(node);
    this.select(node < 0 ? "" : this.keyOf(node));
    this.draw();
  }

  /** @param {number} node */
  zoomTo(node) {
    if (!this.tree) return;
    this.zoom = node;
    this.zoomPath = this.pathOf(node);
    this.reveal(node);
    this.draw();
  }

  /** Scrolls so far that a node is seen. @param {number} node */
  reveal(node) {
    if (!this.tree || node < 0) return;
    const y = this.tree.depth[node] * ROW, high = this.canvas.clientHeight;
    this.top = Math.max(0, Math.min(y, Math.max(this.top, y + ROW - high)));
  }

  /** @param {number} node */
  words(node) {
    if (!this.tree) return "";
    const { functions, func, own, total, depth, all } = this.tree, { name, file, line } = functions[func[node]];
    return `${name}, ${file ?? "no file"}${line ? " " + line : ""}, self ${percent(own[node], all)}, total ${percent(total[node], all)}, depth ${depth[node]}`;
  }

  /** @param {string} key @returns {boolean} whether it was for the graph */
  key(key) {
    const { tree, selected } = this;
    if (!tree) return false;
    switch (key) {
      case "Enter": if (selected >= 0) this.zoomTo(selected); return true;
      case "0": this.zoomTo(-1); return true;
      case "Backspace": this.zoomTo(this.zoom < 0 ? -1 : this.layout.parent[this.zoom]); return true;
      case "Escape":
        if (this.zoom >= 0) this.zoomTo(-1); else this.choose(-1);
        return true;
      case "ArrowUp": this.step(selected < 0 ? -1 : this.layout.parent[selected]); return true;
      case "ArrowDown": this.step(tree.depth[selected + 1] > (selected < 0 ? -1 : tree.depth[selected]) ? selected + 1 : -1); return true;
      case "ArrowRight": this.step(this.sibling(1)); return true;
      case "ArrowLeft": this.step(this.sibling(-1)); return true;
      default: return false;
    }
  }

  /** @param {number} node */
  step(node) {
    if (node >= 0) this.choose(node);
  }

  /** @param {1 | -1} way */
  sibling(way) {
    const { tree, selected } = this;
    if (!tree || selected < 0) return -1;
    for (let node = selected + way; node >= 0 && node < tree.depth.length && tree.depth[node] >= tree.depth[selected]; node += way) {
      if (tree.depth[node] === tree.depth[selected]) return node;
    }
    return -1;
  }

  /** @param {WheelEvent} event */
  scroll(event) {
    if (!this.tree) return;
    let rows = 0;
    for (let node = 0; node < this.tree.depth.length; node++) rows = Math.max(rows, this.tree.depth[node] + 1);
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
    const { tree, layout: { parent } } = this, func = tree.functions[tree.func[node]];
    const place = func.path ?? func.file ?? func.package ?? "";
    this.tip.replaceChildren(
      line("b", func.name),
      line("div", [func.module, place + (func.line ? ":" + func.line : "")].filter(Boolean).join(" · ")),
      line("div", `total ${duration(tree.total[node])}, ${percent(tree.total[node], tree.all)}`),
      line("div", `self ${duration(tree.own[node])}, ${percent(tree.own[node], tree.all)}`),
      line("div", parent[node] < 0 ? "" : `${percent(tree.total[node], tree.total[parent[node]])} of ${tree.functions[tree.func[parent[node]]].name}`),
      line("small", "Click selects · double-click zooms · Escape goes back"));
    const box = this.canvas.getBoundingClientRect();
    const right = event.offsetX + 14 + this.tip.offsetWidth > box.width;
    this.tip.style.left = (right ? Math.max(0, event.offsetX - 14 - this.tip.offsetWidth) : event.offsetX + 14) + "px";
    this.tip.style.top = Math.min(event.offsetY + 14, Math.max(0, box.height - this.tip.offsetHeight)) + "px";
  }

  leave() {
    this.tip.hidden = true;
    this.hover = -1;
    this.draw();
  }

  draw() {
    const { canvas, tree, layout: { begin } } = this, context = canvas.getContext("2d");
    const ratio = devicePixelRatio, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (!context || wide === 0) return;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(high * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const paint = new Paint(context, canvas);
    context.fillStyle = paint.ground;
    context.fillRect(0, 0, wide, high);
    if (!tree) return;
    const [from, width] = this.window(), scale = wide / width, { depth, total, func } = tree;
    const bold = this.chosen === "" ? -1 : tree.functions.findIndex(func => keyOf(func) === this.chosen);
    /** By function. @type {string[]} */ const fills = [];
    /** Where the last sliver of each row ends. @type {number[]} */ const slivers = [];
    for (let node = 0; node < begin.length; node++) {
      const y = depth[node] * ROW - this.top;
      if (y + ROW < 0 || y > high) continue;
      const left = Math.max(0, (begin[node] - from) * scale);
      const right = Math.min(wide, (begin[node] + total[node] - from) * scale);
      if (right <= left) continue;
      if (right - left < SLIVER) {
        if (left >= (slivers[depth[node]] ?? -1)) { paint.sliver(left, y); slivers[depth[node]] = left + 1; }
        continue;
      }
      const index = func[node], isFound = this.hits?.[index] === 1;
      const veil = !this.hits || isFound ? 0 : this.leads[node] ? VEIL.leads : VEIL.other;
      const isBold = isFound || index === bold, share = right - left >= PERCENT_FROM ? percent(total[node], tree.all) : "";
      const colour = fills[index] ??= fill(tree.functions[index], paint.dark);
      paint.frame({ func: tree.functions[index], colour, share, left, right, y, veil, isBold });
      if (isFound || node === this.hover) paint.outline(left, right, y, 1.25);
    }
    if (this.selected >= 0) {
      const node = this.selected, left = (begin[node] - from) * scale, right = (begin[node] + total[node] - from) * scale;
      if (right > 0 && left < wide) paint.ring(Math.max(0, left), Math.min(wide, right), depth[node] * ROW - this.top);
    }
  }
}

/** `share` is said where there is room. @typedef {{func: Func, colour: string, share: string, left: number, right: number, y: number, veil: number, isBold: boolean}} Frame */

/** Puts frames on a canvas. */
class Paint {
  /** @param {CanvasRenderingContext2D} context @param {HTMLCanvasElement} canvas */
  constructor(context, canvas) {
    this.context = context;
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const style = getComputedStyle(canvas);
    this.ground = style.getPropertyValue("--bg");
    this.accent = style.getPropertyValue("--accent");
    this.ink = this.dark ? "#f4f5f7" : "#15181e";
    this.inkVeiled = this.dark ? "#8a92a0" : "#5f6774";
    this.font = "11.5px " + style.fontFamily;
    context.textBaseline = "middle";
  }

  /** @param {number} left @param {number} y */
  sliver(left, y) {
    this.context.fillStyle = this.dark ? "#3a404a" : "#cdd2da";
    this.context.fillRect(left, y, 1, ROW - 1);
  }

  /** @param {Frame} frame */
  frame({ func, colour, share, left, right, y, veil, isBold }) {
    const { context } = this, wide = right - left - (right - left > 3 ? 1 : 0);
    context.fillStyle = colour;
    context.fillRect(left, y, wide, ROW - 1);
    if (func.package) {
      context.fillStyle = "#0000002e";
      context.fillRect(left, y + ROW - 3, wide, 2);
    }
    if (veil > 0) {
      context.globalAlpha = veil;
      context.fillStyle = this.ground;
      context.fillRect(left, y, wide, ROW - 1);
      context.globalAlpha = 1;
    }
    if (right - left < LABEL_FROM) return;
    context.fillStyle = veil > 0 ? this.inkVeiled : this.ink;
    context.font = (isBold ? "600 " : "") + this.font;
    let room = wide - 8;
    if (share !== "") {
      const taken = context.measureText(share).width;
      context.fillText(share, left + wide - 4 - taken, y + ROW / 2);
      room -= taken + 8;
    }
    context.fillText(fit(context, func.name, room), left + 4, y + ROW / 2);
  }

  /** @param {number} left @param {number} right @param {number} y @param {number} width */
  outline(left, right, y, width) {
    this.context.strokeStyle = this.ink;
    this.context.lineWidth = width;
    this.context.strokeRect(left + 0.5, y + 0.5, Math.max(1, right - left - 2), ROW - 2);
  }

  /** @param {number} left @param {number} right @param {number} y */
  ring(left, right, y) {
    const { context } = this, wide = Math.max(2, right - left - 1);
    context.lineWidth = 4;
    context.strokeStyle = this.ground;
    context.strokeRect(left + 1, y + 1, wide - 2, ROW - 3);
    context.lineWidth = 2;
    context.strokeStyle = this.accent;
    context.strokeRect(left + 1, y + 1, wide - 2, ROW - 3);
  }
}

/** @param {string} tag @param {string} text */
function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function fit(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let short = 0, long = Math.min(text.length, 200);
  while (short < long) {
    const middle = (short + long + 1) >> 1;
    if (context.measureText(text.slice(0, middle) + "…").width <= room) short = middle; else long = middle - 1;
  }
  return short > 0 ? text.slice(0, short) + "…" : "";
}
