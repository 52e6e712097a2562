// @ts-check
// A graph of frames on a canvas of the window's size, and what hands do to it: pointer, wheel, keys. What can be seen is worked
// out in `scene.js`, drawn by `painter.js`. The same is a flame graph, a difference, and threads in order of time.

import { coloursOf } from "../data/colour.js";
import { Seen } from "../data/scene.js";
import { frameOf, keysOf, nodeOf } from "../data/tree.js";
import { nextHit, siblings, widestChild, wider, words } from "../data/walk.js";
import { onTheme, token } from "../shell/theme.js";
import { Painter, ROW, sized } from "./painter.js";
import { Tip } from "./tip.js";

const ZOOM_MS = 160;
/** A pointer that moves less clicks, pixels. */
const DRAG_FROM = 4;
/** No further in, microseconds. */
const SPAN_MIN = 10;
const ZOOM_STEP = 1.5, PAN_STEP = 0.1;

/** @typedef {import("../data/scene.js").Scene} Scene */
/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {"focus" | "hide" | "hide-package" | "recursion" | "trunk" | "sandwich" | "copy" | "source" | "clock" | "colour" | "clear"} Act */
/** @typedef {{x: number, y: number, node: number, key: string}} MenuAt a point of the window, and the frame */
/** What a graph tells: `act` returns whether it did something.
 *  @typedef {{select: (key: string, frame: string) => void, zoom: (frame: string) => void, menu: (at: MenuAt) => void, act: (name: Act, key: string, node: number) => boolean | void,
 *  point: (key: string) => void, flip: () => void, view: (from: number, to: number) => void}} Heard */
/** `shares` says what stands at the right of a frame where that is not its share of the whole, `more` a line of the tip.
 *  @typedef {{scene: Scene, hits: ?Uint8Array, chosen: string, frame: string, zoom: string, pointed: string, colours: (isDark: boolean) => import("../data/colour.js").Colours,
 *  shares: ?((node: number) => string), more: ?((node: number) => [string, string]), isUp: boolean}} Shown */

/** @type {Record<string, Act>} */
const LETTERS = { f: "focus", h: "hide", H: "hide-package", r: "recursion", t: "trunk", b: "sandwich", c: "copy", o: "source", x: "clock", k: "colour" };

let ids = 0;

export class Flame {
  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} tip @param {Heard} on */
  constructor(canvas, tip, on) {
    this.canvas = canvas;
    this.on = on;
    this.tip = new Tip(tip);
    this.painter = new Painter(canvas);
    this.seen = new Seen();
    /** @type {?Shown} */ this.shown = null;
    /** @type {?import("../data/colour.js").Colours} */ this.colours = null;
    this.zoom = -1;
    this.selected = -1;
    this.hover = -1;
    this.top = 0;
    /** What the width shows, and where it is going, microseconds. */ this.view = { from: 0, to: 1 };
    this.goal = this.view;
    /** Whether hands took the view away from the zoomed frame. */ this.isFree = false;
    /** @type {Uint8Array} */ this.leads = new Uint8Array();
    /** Hits among the nodes before each place. @type {Int32Array} */ this.hitsBefore = new Int32Array(1);
    this.leaf = document.createElement("div");
    this.leaf.id = `frame-${++ids}`;
    this.leaf.setAttribute("role", "treeitem");
    this.branch = document.createElement("div");
    this.branch.setAttribute("role", "tree");
    this.branch.setAttribute("aria-label", "Frames");
    this.branch.append(this.leaf);
    /** The picture of the screen that is waited for. @type {number | undefined} */ this.picture = undefined;
    /** Where a zoom began. @type {?{from: number, to: number, at: number}} */ this.began = null;
    /** @type {?{x: number, y: number, from: number, top: number, isOn: boolean}} */ this.drag = null;
    /** Where fingers touch, by pointer. @type {Map<number, {x: number, y: number}>} */ this.fingers = new Map();
    this.listen();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", event => this.down(event));
    canvas.addEventListener("pointermove", event => this.move(event));
    canvas.addEventListener("pointerup", event => this.up(event));
    canvas.addEventListener("pointercancel", event => { this.drag = null; this.fingers.delete(event.pointerId); });
    canvas.addEventListener("pointerleave", () => this.point(-1, null, 0, 0));
    canvas.addEventListener("dblclick", event => { const hit = this.at(event.offsetX, event.offsetY); if (hit) this.zoomTo(hit.node >= 0 ? hit.node : this.nodes(hit.from)); });
    canvas.addEventListener("contextmenu", event => { event.preventDefault(); this.openMenu(event); });
    canvas.addEventListener("wheel", event => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", event => { if (this.key(event)) { event.preventDefault(); event.stopPropagation(); } });
    canvas.addEventListener("blur", () => this.tip.hide());
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(canvas);
    const restyle = () => { this.painter.themed(); this.recolour(); this.draw(); };
    this.offTheme = onTheme(restyle);
    this.forced = matchMedia("(forced-colors: active)");
    this.forced.addEventListener("change", restyle);
    this.restyle = restyle;
  }

  end() {
    this.sizes?.disconnect();
    this.offTheme?.();
    if (this.restyle) this.forced?.removeEventListener("change", this.restyle);
    cancelAnimationFrame(this.picture ?? 0);
    this.tip.hide();
    this.shown = null;
  }

  /** @param {Shown} shown */
  show(shown) {
    const last = this.shown, { scene, hits, chosen } = shown, { tree } = scene;
    this.shown = shown;
    if (scene !== last?.scene) {
      // A share of the width stays what it was when there is more of the same.
      const grows = last ? scene.span / last.scene.span : 1;
      this.hover = -1;
      this.tip.hide();
      if (last && this.isFree) this.set({ from: this.goal.from * grows, to: this.goal.to * grows }, false);
    }
    if (scene !== last?.scene || shown.colours !== last.colours) this.recolour();
    if (scene !== last?.scene || hits !== last.hits) this.lead();
    if (scene !== last?.scene || shown.zoom !== last.zoom) {
      const zoom = shown.zoom === "" ? -1 : nodeOf(tree, shown.zoom), isOther = shown.zoom !== (last?.zoom ?? "");
      if (isOther && zoom !== this.zoom) this.isFree = false;
      this.zoom = zoom;
      if (!this.isFree) this.set(this.spanOf(zoom), last !== null && last.scene === scene);
    }
    if (scene !== last?.scene || chosen !== last.chosen || shown.frame !== last.frame) this.reselect();
    // The root stands at the bottom: there it begins, and what is seen stays where it is.
    if (shown.isUp && (scene !== last?.scene || !last.isUp)) this.top = last?.isUp ? this.top + (scene.rows - last.scene.rows) * ROW : Infinity;
    else if (last?.isUp && !shown.isUp) this.top = 0;
    this.scroll(0);
    this.draw();
  }

  recolour() {
    if (this.shown) this.colours = this.shown.colours(this.painter.theme.isDark);
  }

  /** Which frames lead to one that is found. */
  lead() {
    if (!this.shown) return;
    const { hits, scene: { parent, nodes, tree: { func } } } = this.shown;
    this.leads = new Uint8Array(hits ? parent.length : 0);
    this.hitsBefore = new Int32Array(hits ? nodes.length + 1 : 1);
    if (!hits) return;
    for (let node = parent.length - 1; node >= 0; node--) if (parent[node] >= 0 && (this.leads[node] || hits[func[node]])) this.leads[parent[node]] = 1;
    for (let place = 0; place < nodes.length; place++) this.hitsBefore[place + 1] = this.hitsBefore[place] + hits[func[nodes[place]]];
  }

  /** The selected frame, in whatever tree there is: that which was chosen, else the widest of its function. */
  reselect() {
    if (!this.shown) return;
    const { scene: { tree }, chosen, frame } = this.shown, keys = keysOf(tree.functions);
    const known = frame === "" ? -1 : nodeOf(tree, frame);
    this.selected = known >= 0 && (chosen === "" || keys[tree.func[known]] === chosen) ? known : -1;
    if (this.selected < 0 && chosen !== "") {
      const is = Uint8Array.from(keys, key => key === chosen ? 1 : 0);
      for (let node = 0; node < tree.func.length; node++) if (is[tree.func[node]] && (this.selected < 0 || tree.total[node] > tree.total[this.selected])) this.selected = node;
    }
    this.speak();
  }

  /** The selected frame in words, for those who do not see it. */
  speak() {
    const { canvas, branch, leaf, selected, shown } = this;
    if (!shown || selected < 0) { canvas.removeAttribute("aria-activedescendant"); branch.remove(); leaf.textContent = ""; return; }
    const { scene } = shown, around = siblings(scene, selected), place = around.indexOf(selected) + 1;
    leaf.textContent = words(scene.tree, selected, place, around.length);
    leaf.setAttribute("aria-level", String(scene.tree.depth[selected] + 1));
    leaf.setAttribute("aria-posinset", String(place));
    leaf.setAttribute("aria-setsize", String(around.length));
    leaf.setAttribute("aria-selected", "true");
    if (!branch.isConnected) canvas.append(branch);
    canvas.setAttribute("aria-activedescendant", leaf.id);
  }

  /** @param {number} node */
  keyOf(node) {
    return this.shown && node >= 0 ? keysOf(this.shown.scene.tree.functions)[this.shown.scene.tree.func[node]] : "";
  }

  /** @param {number} place */
  nodes(place) {
    return this.shown?.scene.nodes[place] ?? -1;
  }

  /** @param {number} node @param {boolean} [reveals] */
  choose(node, reveals = false) {
    if (!this.shown) return;
    const frame = frameOf(this.shown.scene.tree, node), key = this.keyOf(node);
    this.selected = node;
    this.shown = { ...this.shown, chosen: key, frame };
    if (reveals) this.reveal(node);
    this.speak();
    this.draw();
    this.on.select(key, frame);
  }

  /** @param {number} node */
  zoomTo(node) {
    if (!this.shown) return;
    const zoom = frameOf(this.shown.scene.tree, node);
    this.zoom = node;
    this.isFree = false;
    this.hover = -1;
    this.tip.hide();
    this.shown = { ...this.shown, zoom };
    if (node >= 0) this.revealRow(node);
    this.set(this.spanOf(node), true);
    this.on.zoom(zoom);
  }

  /** To the next frame around that is wider. */
  zoomOut() {
    if (!this.shown) return;
    if (this.isFree) { this.zoomTo(this.zoom); return; }
    this.zoomTo(wider(this.shown.scene, this.zoom));
  }

  /** The next frame that a search finds, in the order of the rows. @param {1 | -1} way */
  next(way) {
    if (!this.shown?.hits) return;
    const node = nextHit(this.shown.scene, this.shown.hits, this.selected, way);
    if (node >= 0) this.choose(node, true);
  }

  /** @param {number} node */
  spanOf(node) {
    if (!this.shown) return { from: 0, to: 1 };
    const { scene: { begin, span, tree: { total } } } = this.shown;
    return node < 0 ? { from: 0, to: span } : { from: begin[node], to: begin[node] + Math.max(1, total[node]) };
  }

  /** Shows a span of time, at once or over a moment. @param {{from: number, to: number}} span @param {boolean} moves */
  set({ from, to }, moves) {
    const all = this.shown?.scene.span ?? 1, wide = Math.min(all, Math.max(SPAN_MIN, to - from));
    const left = Math.min(all - wide, Math.max(0, from));
    this.goal = { from: left, to: left + wide };
    if (!moves || matchMedia("(prefers-reduced-motion: reduce)").matches) { this.began = null; this.view = this.goal; } else this.began = { ...this.view, at: performance.now() };
    this.draw();
  }

  /** The view is moved by hand. @param {number} from @param {number} to @param {boolean} [moves] */
  take(from, to, moves = false) {
    this.isFree = this.zoom >= 0 || to - from < (this.shown?.scene.span ?? 1);
    this.set({ from, to }, moves);
  }

  /** @param {number} node scrolls so far that its row is seen */
  revealRow(node) {
    if (!this.shown) return;
    const { row, rows } = this.shown.scene, at = this.shown.isUp ? rows - 1 - row[node] : row[node], high = this.canvas.clientHeight;
    this.top = Math.max(0, Math.min(at * ROW, Math.max(this.top, (at + 1) * ROW - high)));
  }

  /** @param {number} node */
  reveal(node) {
    if (!this.shown || node < 0) return;
    this.revealRow(node);
    const { from, to } = this.spanOf(node), wide = this.goal.to - this.goal.from;
    if (to <= this.goal.from || from >= this.goal.to) this.take((from + to - wide) / 2, (from + to + wide) / 2, true);
  }

  /** @param {number} by pixels @returns {boolean} whether it moved */
  scroll(by) {
    const rows = this.shown?.scene.rows ?? 0, most = Math.max(0, rows * ROW - this.canvas.clientHeight), top = Math.min(most, Math.max(0, this.top + by));
    const moved = top !== this.top;
    this.top = top;
    return moved;
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoomBy(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.01)), event.offsetX / this.canvas.clientWidth, false);
      return;
    }
    const [x, y] = event.shiftKey ? [event.deltaY, 0] : [event.deltaX, event.deltaY], { from, to } = this.goal, by = x / this.canvas.clientWidth * (to - from);
    if (x !== 0 && to - from < (this.shown?.scene.span ?? 0)) { event.preventDefault(); this.take(from + by, to + by); }
    if (this.scroll(event.deltaMode ? y * ROW : y)) { event.preventDefault(); this.draw(); }
  }

  /** @param {number} factor @param {number} at share of the width that stays where it is @param {boolean} moves */
  zoomBy(factor, at, moves) {
    const { from, to } = this.goal, middle = from + (to - from) * at, wide = Math.min(this.shown?.scene.span ?? 1, Math.max(SPAN_MIN, (to - from) * factor));
    this.take(middle - wide * at, middle + wide * (1 - at), moves);
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was for the graph */
  key({ key, ctrlKey, metaKey, altKey }) {
    const { shown, selected } = this;
    if (!shown || ctrlKey || metaKey || altKey) return false;
    const { scene: { parent } } = shown, { from, to } = this.goal, pan = (to - from) * PAN_STEP;
    const [higher, lower] = shown.isUp ? ["ArrowDown", "ArrowUp"] : ["ArrowUp", "ArrowDown"];
    switch (key) {
      case "Enter": if (selected >= 0) this.zoomTo(selected); return true;
      case "0": this.zoomTo(-1); return true;
      case "Backspace": this.zoomOut(); return true;
      case "Escape": return this.escape();
      case higher: this.step(selected < 0 ? this.firstSeen() : parent[selected]); return true;
      case lower: this.step(selected < 0 ? this.firstSeen() : widestChild(shown.scene.tree, selected)); return true;
      case "ArrowRight": case "ArrowLeft": case "Home": case "End": {
        const around = siblings(shown.scene, selected), at = around.indexOf(selected);
        const next = { ArrowRight: around[at + 1], ArrowLeft: around[at - 1], Home: around[0], End: around[around.length - 1] }[key];
        this.step(selected < 0 ? this.firstSeen() : next ?? -1);
        return true;
      }
      case "w": case "W": this.zoomBy(1 / ZOOM_STEP, 0.5, true); return true;
      case "s": case "S": this.zoomBy(ZOOM_STEP, 0.5, true); return true;
      case "a": case "A": this.take(from - pan, to - pan, true); return true;
      case "d": case "D": this.take(from + pan, to + pan, true); return true;
      case "PageDown": case "PageUp": this.scroll((key === "PageDown" ? 1 : -1) * (this.canvas.clientHeight - ROW)); this.draw(); return true;
      case ".": case "ContextMenu": this.openMenu(null); return true;
      case "u": case "U": this.on.flip(); return true;
      default:
        return Object.hasOwn(LETTERS, key) && this.on.act(LETTERS[key], this.keyOf(selected), selected) !== false;
    }
  }

  /** What is open is closed first, then the search, then the zoom, then the selection. @returns {boolean} whether there was anything to close */
  escape() {
    if (this.tip.target) { this.tip.hide(); return true; }
    if (this.shown?.hits) return this.on.act("clear", "", -1) === true;
    if (this.isFree || this.zoom >= 0) { this.zoomTo(-1); return true; }
    if (this.selected < 0) return false;
    this.choose(-1);
    return true;
  }

  /** Where the keys begin. */
  firstSeen() {
    return this.shown && this.shown.scene.tree.depth.length > 0 ? Math.max(this.zoom, this.shown.scene.folded) : -1;
  }

  /** @param {number} node */
  step(node) {
    if (this.shown && node >= this.shown.scene.folded && node < this.shown.scene.tree.depth.length) this.choose(node, true);
  }

  /** By pointer, or for the selected frame. @param {?MouseEvent} event */
  openMenu(event) {
    const hit = event && event.button === 2 ? this.at(event.offsetX, event.offsetY) : null;
    if (hit) this.choose(hit.node >= 0 ? hit.node : this.nodes(hit.from));
    const node = this.selected;
    if (!this.shown || node < 0) return;
    this.tip.hide();
    const box = this.canvas.getBoundingClientRect(), { from, to } = this.goal, left = Math.max(0, (this.spanOf(node).from - from) / (to - from) * box.width);
    const at = event && event.button === 2 ? { x: event.clientX, y: event.clientY } : { x: box.left + Math.min(box.width, left), y: box.top + this.y(this.shown.scene.row[node]) + ROW };
    this.on.menu({ ...at, node, key: this.keyOf(node) });
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button !== 0) return;
    this.drag = { x: event.clientX, y: event.clientY, from: this.goal.from, top: this.top, isOn: this.fingers.size > 0 };
    if (event.pointerType === "touch") this.fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.canvas.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { drag, fingers } = this;
    if (fingers.size > 1) { this.pinch(event); return; }
    if (!drag) {
      const hit = this.at(event.offsetX, event.offsetY);
      this.point(hit && hit.node >= 0 ? hit.node : -1, hit, event.offsetX, event.offsetY);
      return;
    }
    const x = event.clientX - drag.x, y = event.clientY - drag.y;
    if (!drag.isOn && Math.hypot(x, y) < DRAG_FROM) return;
    drag.isOn = true;
    this.point(-1, null, 0, 0);
    const wide = this.goal.to - this.goal.from, from = drag.from - x / this.canvas.clientWidth * wide;
    this.top = drag.top;
    this.scroll(-y);
    if (wide < (this.shown?.scene.span ?? 0)) this.take(from, from + wide); else this.draw();
  }

  /** Two fingers: what is between them stays between them. @param {PointerEvent} event */
  pinch(event) {
    const { fingers } = this, width = this.canvas.clientWidth, span = () => { const [a, b] = [...fingers.values()]; return { wide: Math.max(1, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 }; };
    const before = span();
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    const after = span(), by = (before.middle - after.middle) / width * (this.goal.to - this.goal.from);
    this.take(this.goal.from + by, this.goal.to + by);
    this.zoomBy(before.wide / after.wide, after.middle / width, false);
  }

  /** @param {PointerEvent} event */
  up(event) {
    const { drag } = this;
    this.fingers.delete(event.pointerId);
    this.drag = null;
    if (!drag || drag.isOn || event.button !== 0) return;
    const hit = this.at(event.offsetX, event.offsetY);
    if (hit) { this.choose(hit.node >= 0 ? hit.node : this.nodes(hit.from)); return; }
    const row = this.row(event.offsetY), scene = this.shown?.scene;
    if (scene && (scene.folded > 0 && row === 0 || scene.heads.some(head => head.row === row && head.trunk.length > 0))) this.on.act("trunk", "", -1); else this.choose(-1);
  }

  /** @param {number} node @param {?import("./tip.js").Target} target @param {number} x @param {number} y */
  point(node, target, x, y) {
    if (!this.shown) return;
    this.tip.point(this.shown.scene, target, x, y, this.shown.more);
    if (node === this.hover) return;
    this.hover = node;
    this.draw();
    this.on.point(this.keyOf(node));
  }

  /** Where the first line of rows is, pixels: what grows upwards stands on the ground. */
  offset() {
    const ground = this.shown?.isUp ? Math.max(0, this.canvas.clientHeight - this.shown.scene.rows * ROW) : 0;
    return ground - Math.round(this.top);
  }

  /** @param {number} y pixels */
  row(y) {
    const down = Math.floor((y - this.offset()) / ROW);
    return this.shown?.isUp ? this.shown.scene.rows - 1 - down : down;
  }

  /** The top of a row, pixels. @param {number} row */
  y(row) {
    return (this.shown?.isUp ? this.shown.scene.rows - 1 - row : row) * ROW + this.offset();
  }

  /** What was drawn at a point. @param {number} x @param {number} y @returns {?import("./tip.js").Target} */
  at(x, y) {
    const { shown, seen } = this;
    if (!shown) return null;
    const row = this.row(y);
    for (let at = 0; at < seen.count; at++) if (shown.scene.row[seen.node[at]] === row && seen.left[at] <= x && x < seen.right[at]) return { node: seen.node[at], from: 0, to: 0 };
    for (let at = 0; at < seen.slivers; at++) if (seen.sliverRow[at] === row && seen.sliverLeft[at] - 0.5 <= x && x < seen.sliverRight[at] + 0.5) return { node: -1, from: seen.from[at], to: seen.to[at] };
    return null;
  }

  /** With the next picture of the screen. */
  draw() {
    this.picture ??= requestAnimationFrame(now => { this.picture = undefined; this.paint(now); });
  }

  /** @param {number} now milliseconds */
  paint(now) {
    const { shown, colours, canvas, painter, seen } = this;
    if (!shown || !colours || canvas.clientWidth === 0) return;
    if (this.began) this.moved(this.began, now);
    const [wide, high] = sized(canvas, painter.context), { scene } = shown, { from, to } = this.view;
    this.scroll(0);
    const rows = [this.row(0), this.row(high)];
    seen.look(scene, from, to, wide, Math.min(...rows), Math.max(...rows));
    const offset = this.offset(), y = (/** @type {number} */ row) => (shown.isUp ? scene.rows - 1 - row : row) * ROW + offset;
    const of = (/** @type {string} */ key) => key === "" ? -1 : keysOf(scene.tree.functions).indexOf(key);
    painter.draw({
      scene, seen, colours, shares: shown.shares, y, wide, high, hits: shown.hits, leads: this.leads, hitsBefore: this.hitsBefore,
      bold: of(shown.chosen), pointed: of(shown.pointed), hover: this.hover, selected: this.selected, from, to,
    });
    this.on.view(from, to);
  }

  /** @param {{from: number, to: number, at: number}} began @param {number} now */
  moved({ from, to, at }, now) {
    const time = (now - at) / ZOOM_MS, share = ease(time), { goal } = this;
    this.view = { from: from + (goal.from - from) * share, to: to + (goal.to - to) * share };
    if (time < 1) this.draw(); else { this.began = null; this.view = goal; }
  }
}

/** The curve (.2, 0, 0, 1). @param {number} time from 0 to 1 */
function ease(time) {
  if (time >= 1) return 1;
  let low = 0, high = 1;
  for (let step = 0; step < 14; step++) {
    const at = (low + high) / 2;
    if (0.6 * (1 - at) ** 2 * at + at ** 3 < time) low = at; else high = at;
  }
  return 3 * (1 - low) * low ** 2 + low ** 3;
}

/** How frames are coloured by default. @param {Tree} tree @param {import("../data/colour.js").Mode} mode */
export const colouring = (tree, mode) => (/** @type {boolean} */ isDark) => coloursOf(tree, mode, isDark, token);
