// @ts-check
// The whole graph in miniature above it: a veil lies over what the graph does not show. Drag inside moves the view, drag outside
// makes one, a double click shows all.

import { Seen } from "../data/scene.js";
import { onTheme } from "../shell/theme.js";
import { sized, Theme } from "./painter.js";

const PAD = 1;
/** Rows are no higher, pixels. */
const ROW_MAX = 3;
/** Rows below the last that holds so much of the whole are left out: they would be too thin to be seen. */
const SHARE_MIN = 0.01;
const DRAG_FROM = 3;

/** @typedef {import("../data/scene.js").Scene} Scene */
/** @typedef {{scene: Scene, colours: import("../data/colour.js").Colours, hits: ?Uint8Array, hitsBefore: Int32Array, selected: number, from: number, to: number}} Shown */

export class Minimap {
  /** @param {HTMLCanvasElement} canvas @param {(from: number, to: number, isAll: boolean) => void} take called with what the graph is to show */
  constructor(canvas, take) {
    this.canvas = canvas;
    this.take = take;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.picture = document.createElement("canvas");
    this.theme = new Theme();
    this.seen = new Seen();
    /** @type {?Shown} */ this.shown = null;
    /** What the picture was made of. @type {any[]} */ this.made = [];
    canvas.addEventListener("pointerdown", event => this.down(event));
    canvas.addEventListener("pointermove", event => this.move(event));
    canvas.addEventListener("pointerup", () => { this.drag = null; });
    canvas.addEventListener("pointercancel", () => { this.drag = null; });
    canvas.addEventListener("dblclick", () => { if (this.shown) this.take(0, this.shown.scene.span, true); });
    this.offTheme = onTheme(() => { this.theme = new Theme(); this.made = []; this.draw(); });
  }

  end() {
    clearTimeout(this.later);
    this.offTheme();
    this.shown = null;
  }

  /** @param {Shown} shown */
  show(shown) {
    const last = this.shown;
    this.shown = shown;
    if (!last || /** @type {(keyof Shown)[]} */ (Object.keys(shown)).some(name => shown[name] !== last[name]) || this.canvas.clientWidth * devicePixelRatio !== this.canvas.width) this.draw();
  }

  draw() {
    const { shown, context, canvas, theme, picture } = this;
    if (!shown || canvas.clientWidth === 0) return;
    const [wide, high] = sized(canvas, context), { scene, colours, hits, selected, from, to } = shown;
    const of = [scene, colours, hits, selected, canvas.width, canvas.height];
    if (of.some((one, at) => one !== this.made[at])) {
      this.made = of;
      // The graph itself is to be seen first.
      clearTimeout(this.later);
      this.later = setTimeout(() => { if (this.shown) { this.remake(this.shown, wide, high); this.draw(); } });
    }
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, wide, high);
    context.drawImage(picture, 0, 0, wide, high);
    if (to - from >= scene.span * 0.9999) return;
    const scale = wide / scene.span, left = from * scale, right = Math.max(left + 2, to * scale);
    context.fillStyle = theme.veil;
    context.fillRect(0, 0, left, high);
    context.fillRect(right, 0, wide - right, high);
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.strokeRect(Math.max(0.75, left), 0.75, Math.min(wide - 0.75, right) - Math.max(0.75, left), high - 1.5);
  }

  /** @param {Shown} shown @param {number} wide @param {number} high */
  remake({ scene, colours: { swatches, of }, hits, hitsBefore, selected }, wide, high) {
    const { picture, theme, seen, canvas } = this, context = picture.getContext("2d", { alpha: false });
    if (!context) return;
    picture.width = canvas.width;
    picture.height = canvas.height;
    context.setTransform(canvas.width / wide, 0, 0, canvas.height / high, 0, 0);
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, wide, high);
    const rows = shownRows(scene), tall = Math.min(ROW_MAX, (high - 2 * PAD) / rows), { tree: { func } } = scene;
    // Rows that share a line of pixels would be drawn over each other: every so-many-th is.
    const every = Math.max(1, Math.floor(1 / (tall * devicePixelRatio)));
    for (let row = 0; row < rows; row += every) {
      seen.look(scene, 0, scene.span, wide, row, row);
      const y = PAD + row * tall, box = (/** @type {number} */ left, /** @type {number} */ right) => context.fillRect(left, y, Math.max(0.5, right - left), tall * every);
      context.fillStyle = theme.sliver;
      for (let at = 0; at < seen.slivers; at++) box(seen.sliverLeft[at], seen.sliverRight[at]);
      let last = -1;
      for (let at = 0; at < seen.count; at++) {
        const swatch = of[seen.node[at]];
        if (swatch !== last) { context.fillStyle = theme.isForced ? theme.faint : swatches[swatch].fill; last = swatch; }
        box(seen.left[at], seen.right[at]);
      }
      if (!hits) continue;
      context.fillStyle = theme.ink;
      for (let at = 0; at < seen.count; at++) if (hits[func[seen.node[at]]]) box(seen.left[at], seen.right[at]);
      for (let at = 0; at < seen.slivers; at++) if (hitsBefore[seen.to[at]] > hitsBefore[seen.from[at]]) box(seen.sliverLeft[at], seen.sliverRight[at]);
    }
    if (selected < scene.folded) return;
    const left = scene.begin[selected] / scene.span * wide;
    context.fillStyle = theme.accent;
    context.fillRect(left, PAD + Math.min(scene.row[selected], rows - 1) * tall, Math.max(2, scene.tree.total[selected] / scene.span * wide), Math.max(2, tall));
  }

  /** The time under the pointer. @param {PointerEvent} event */
  time(event) {
    return Math.min(1, Math.max(0, event.offsetX / this.canvas.clientWidth)) * (this.shown?.scene.span ?? 1);
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (!this.shown || event.button !== 0) return;
    const { from, to, scene: { span } } = this.shown, at = this.time(event);
    this.drag = { at, x: event.clientX, from, to, isOn: false, moves: to - from < span && from <= at && at <= to };
    this.canvas.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { drag } = this;
    if (!drag || !drag.isOn && Math.abs(event.clientX - drag.x) < DRAG_FROM) return;
    drag.isOn = true;
    const at = this.time(event), by = at - drag.at;
    if (drag.moves) this.take(drag.from + by, drag.to + by, false); else this.take(Math.min(at, drag.at), Math.max(at, drag.at), false);
  }
}

/** How many rows from the root on are worth to be shown. @param {Scene} scene */
function shownRows({ rows, first, nodes, span, tree: { total } }) {
  for (let row = rows - 1; row > 0; row--) {
    let us = 0;
    for (let place = first[row]; place < first[row + 1]; place++) us += total[nodes[place]];
    if (us >= span * SHARE_MIN) return row + 1;
  }
  return 1;
}
