// @ts-check
// Puts what can be seen of a graph on a canvas: fills by swatch, signs, veils, hover, labels, outlines, and the selection last.

import { bytesOf, clean, HATCH, labelOf, RULE, unnamed } from "../data/colour.js";
import { percent } from "../data/format.js";
import { isDark, token } from "../shell/theme.js";
import { Pixels, veiled } from "./pixels.js";

/** @typedef {import("../data/scene.js").Scene} Scene */
/** @typedef {import("../data/scene.js").Seen} Seen */
/** @typedef {import("../data/colour.js").Colours} Colours */
/** @typedef {(x: number, y: number, wide: number) => void} DrawBox */

/** The height of a row and of the frame in it, pixels. */
export const ROW = 20, FRAME = 19;
const LABEL_FROM = 24, SHARE_FROM = 160, DASHED_FROM = 4;
/** Frames wider than this leave a pixel free at their right, and have signs; narrower ones are pixels. */
const GAP_FROM = 3;
const RULE_HIGH = 2;
const PAD = 4;
/** How much of the ground is laid over frames that a search does not find, and over those that lead to one. */
const VEIL_OTHER = 0.8, VEIL_LEADS = 0.52;
/** Labels are cut to rooms that are multiples of this, pixels. */
const BUCKET = 4;
const LABELS_MAX = 50_000;

/** What is drawn: `y` of a row; `hits` by function, `leads` by node, `hitsBefore` by place; `bold` and `pointed` are functions, `hover` and `selected` nodes; -1 is none.
 *  @typedef {{scene: Scene, seen: Seen, colours: Colours, shares: ?((node: number) => string), y: (row: number) => number, wide: number, high: number,
 *  hits: ?Uint8Array, leads: Uint8Array, hitsBefore: Int32Array, bold: number, pointed: number, hover: number, selected: number, from: number, to: number}} Picture */

/** Makes a canvas as large as it is shown; then it is drawn on in pixels of the stylesheet. @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2D} context
 *  @returns {[number, number]} its width and height */
export function sized(canvas, context) {
  const ratio = devicePixelRatio, { clientWidth: wide, clientHeight: high } = canvas;
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [wide, high];
}

/** The colours that are not the data's. */
export class Theme {
  constructor() {
    this.isDark = isDark();
    this.isForced = matchMedia("(forced-colors: active)").matches;
    const of = (/** @type {string} */ name, /** @type {string} */ forced) => this.isForced ? forced : token(name);
    this.ground = of("bg", "Canvas");
    this.ink = of("ink", "CanvasText");
    this.ink2 = of("ink2", "CanvasText");
    this.ink3 = of("ink3", "CanvasText");
    this.veiled = this.isForced ? "GrayText" : this.isDark ? "#8a92a0" : "#5f6774";
    this.accent = of("acc", "Highlight");
    this.line = of("line2", "CanvasText");
    this.sunken = of("sunken", "Canvas");
    this.faint = of("line2", "GrayText");
    this.sel = of("sel", "Canvas");
    this.bad = of("bad", "CanvasText");
    this.veil = this.isForced ? "transparent" : token("veil");
    this.sliver = this.isForced ? "CanvasText" : this.isDark ? "#4a505b" : "#c3c8d0";
    /** How much white or black is in a rule. */ this.ruleShare = this.isDark ? 0.36 : 0.24;
    this.rule = `rgb(${this.isDark ? "255 255 255" : "0 0 0"} / ${this.ruleShare})`;
    this.hatch = this.isDark ? "#ffffff24" : "#0000001f";
    this.hover = this.isDark ? "#00000033" : "#15181e1a";
  }
}

/** Texts as they fit, measured once. */
class Labels {
  constructor() {
    /** @type {readonly import("../data/tree.js").Func[]} */ this.functions = [];
    /** @type {string[]} */ this.texts = [];
    /** @type {Map<number, string>} */ this.cut = new Map();
    /** @type {Map<string, number>} */ this.widths = new Map();
    /** Of whole labels, by function: plain, then bold. */ this.whole = new Float32Array();
  }

  /** @param {readonly import("../data/tree.js").Func[]} functions */
  of(functions) {
    if (functions === this.functions && this.cut.size < LABELS_MAX) return;
    this.functions = functions;
    this.texts = [];
    this.cut.clear();
    this.widths.clear();
    this.whole = new Float32Array(2 * functions.length);
  }

  /** The label of a function in so much room. @param {CanvasRenderingContext2D} context with the font @param {number} func @param {number} room @param {0 | 1} bold */
  fit(context, func, room, bold) {
    const text = this.texts[func] ??= clean(labelOf(this.functions[func]));
    const whole = this.whole[2 * func + bold] ||= context.measureText(text).width;
    if (whole <= room) return text;
    const bucket = Math.floor(room / BUCKET), key = (func * 1024 + Math.min(1023, bucket)) * 2 + bold;
    let cut = this.cut.get(key);
    if (cut === undefined) this.cut.set(key, cut = shortened(context, text, bucket * BUCKET, whole));
    return cut;
  }

  /** @param {CanvasRenderingContext2D} context @param {string} text */
  width(context, text) {
    let width = this.widths.get(text);
    if (width === undefined) this.widths.set(text, width = context.measureText(text).width);
    return width;
  }
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room @param {number} whole its width */
function shortened(context, text, room, whole) {
  let long = Math.min(text.length - 1, Math.floor(text.length * room / whole) + 2);
  while (long > 0 && context.measureText(text.slice(0, long) + "…").width > room) long--;
  // Never half of a character.
  if (long > 0 && /[\ud800-\udbff]/.test(text[long - 1])) long--;
  return long > 0 ? text.slice(0, long) + "…" : "";
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room @returns {string} */
export function fitted(context, text, room) {
  const whole = context.measureText(text).width;
  return whole <= room ? text : shortened(context, text, room, whole);
}

/** The text of canvases, in the page's letters. @param {Element} element */
export const fontOf = element => "11.5px " + getComputedStyle(element).fontFamily;

export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    /** Frames in the order of their swatches. */
    this.order = new Int32Array();
    /** Pixels of the screen in one of the stylesheet: to ask for it costs more than to draw. */
    this.ratio = 1;
    this.pixels = new Pixels();
    this.theme = new Theme();
    this.font = fontOf(canvas);
    this.labels = new Labels();
    this.pattern = hatched(this.context, this.theme.hatch);
  }

  /** The theme is another. */
  themed() {
    this.theme = new Theme();
    this.font = fontOf(this.canvas);
    this.labels = new Labels();
    this.pattern = hatched(this.context, this.theme.hatch);
  }

  /** @param {Picture} picture */
  draw(picture) {
    const { context, theme } = this, { scene, seen } = picture;
    this.labels.of(scene.tree.functions);
    this.ratio = devicePixelRatio;
    this.snapped(seen.left, seen.count);
    this.snapped(seen.right, seen.count);
    this.snapped(seen.sliverLeft, seen.slivers);
    this.snapped(seen.sliverRight, seen.slivers);
    context.textBaseline = "middle";
    context.direction = "ltr";
    if (theme.isForced) this.edges(picture);
    else {
      this.narrow(picture);
      this.fills(picture);
      this.signs(picture);
      if (picture.hits) this.veils(picture);
    }
    this.hovered(picture);
    this.heads(picture);
    this.texts(picture, 0);
    this.texts(picture, 1);
    if (picture.hits) this.matches(picture);
    this.selection(picture);
  }

  /** Onto borders between pixels of the screen. @param {Float64Array} xs @param {number} many */
  snapped(xs, many) {
    const { ratio } = this;
    for (let at = 0; at < many; at++) xs[at] = Math.round(xs[at] * ratio) / ratio;
  }

  /** Draws a frame that is seen. @param {Picture} picture @param {number} at its place among them @param {DrawBox} draw */
  box({ scene, seen, y }, at, draw) {
    const left = seen.left[at], wide = seen.right[at] - left;
    draw(left, y(scene.row[seen.node[at]]), wide > GAP_FROM ? wide - 1 : Math.max(1 / this.ratio, wide));
  }

  /** @returns {DrawBox} */
  filled() {
    const { context } = this;
    return (x, y, wide) => context.fillRect(x, y, wide, FRAME);
  }

  /** The edge of a frame, within it. @param {number} width @returns {DrawBox} */
  outline(width) {
    const { context } = this;
    return (x, y, wide) => context.strokeRect(x + width / 2, y + width / 2, Math.max(0.5, wide - width), FRAME - width);
  }

  /** What is too narrow for all else: frames in the colour that they have under a veil, and slivers. @param {Picture} picture */
  narrow({ scene: { row, tree: { func } }, seen, y, colours: { swatches, of, sign }, hits, leads, hitsBefore }) {
    const { theme, ratio, pixels, canvas } = this, ground = bytesOf(theme.ground), end = theme.isDark ? [255, 255, 255] : [0, 0, 0];
    pixels.clear(canvas.width, canvas.height, ground);
    const bytes = swatches.map(({ fill }) => bytesOf(fill)), [plain, leading, other] = [0, VEIL_LEADS, VEIL_OTHER].map(share => bytes.map(rgb => veiled(rgb, ground, share)));
    const ruled = bytes.map(rgb => veiled(rgb, end, theme.ruleShare)), grey = veiled(bytesOf(theme.sliver), ground, 0), ink = veiled(bytesOf(theme.ink), ground, 0);
    const edge = (/** @type {number} */ x) => Math.round(x * ratio), { count, slivers, node, left, right, sliverRow, sliverLeft, sliverRight, from, to } = seen;
    // Both stand row by row.
    for (let at = 0, sliver = 0; at < count || sliver < slivers; ) {
      const here = Math.min(at < count ? row[node[at]] : Infinity, sliver < slivers ? sliverRow[sliver] : Infinity), top = y(here);
      pixels.start();
      for (; at < count && row[node[at]] === here; at++) {
        if (right[at] - left[at] > GAP_FROM) continue;
        const one = node[at], swatch = of[one], isHit = hits === null || hits[func[one]] === 1, colour = (isHit ? plain : leads[one] ? leading : other)[swatch];
        const x = edge(left[at]);
        pixels.span(x, Math.max(x + 1, edge(right[at])), colour, isHit && sign && sign[one] & RULE ? ruled[swatch] : colour);
      }
      for (; sliver < slivers && sliverRow[sliver] === here; sliver++) {
        const colour = hits !== null && hitsBefore[to[sliver]] > hitsBefore[from[sliver]] ? ink : grey, x = edge(sliverLeft[sliver]);
        pixels.span(x, Math.max(x + 1, edge(sliverRight[sliver])), colour, colour);
      }
      pixels.end(edge(top), edge(top + FRAME - RULE_HIGH), edge(top + FRAME));
    }
    pixels.put(this.context);
  }

  /** @param {Picture} picture */
  fills(picture) {
    const { context } = this, { seen: { count, node, left, right }, colours: { swatches, of } } = picture, draw = this.filled();
    if (this.order.length < count) this.order = new Int32Array(2 * count);
    const { order } = this, next = new Int32Array(swatches.length + 1);
    for (let at = 0; at < count; at++) if (right[at] - left[at] > GAP_FROM) next[of[node[at]] + 1]++;
    for (let swatch = 0; swatch < swatches.length; swatch++) next[swatch + 1] += next[swatch];
    const many = next[swatches.length];
    for (let at = 0; at < count; at++) if (right[at] - left[at] > GAP_FROM) order[next[of[node[at]]]++] = at;
    let last = -1;
    for (let place = 0; place < many; place++) {
      const swatch = of[node[order[place]]];
      if (swatch !== last) { context.fillStyle = swatches[swatch].fill; last = swatch; }
      this.box(picture, order[place], draw);
    }
  }

  /** @param {Picture} picture */
  signs(picture) {
    const { context, theme, pattern } = this, { seen, scene: { tree }, colours: { sign } } = picture;
    const each = (/** @type {number} */ bit, /** @type {DrawBox} */ draw) => {
      for (let at = 0; at < seen.count; at++) if (sign && sign[seen.node[at]] & bit && seen.right[at] - seen.left[at] > GAP_FROM) this.box(picture, at, draw);
    };
    if (pattern) context.fillStyle = pattern;
    each(HATCH, this.filled());
    context.fillStyle = theme.rule;
    each(RULE, (x, y, wide) => context.fillRect(x, y + FRAME - RULE_HIGH, wide, RULE_HIGH));
    context.strokeStyle = theme.ink2;
    context.lineWidth = 1;
    context.setLineDash([3, 2]);
    const dashes = unnamed(tree.functions), outline = this.outline(1);
    for (let at = 0; at < seen.count; at++) if (dashes[tree.func[seen.node[at]]] && seen.right[at] - seen.left[at] >= DASHED_FROM) this.box(picture, at, outline);
    context.setLineDash([]);
  }

  /** Where the system chooses the colours. @param {Picture} picture */
  edges(picture) {
    const { context, theme } = this, outline = this.outline(1);
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, picture.wide, picture.high);
    context.strokeStyle = theme.ink;
    context.lineWidth = 1;
    for (let at = 0; at < picture.seen.count; at++) this.box(picture, at, outline);
    this.slivers(picture);
  }

  /** @param {Picture} picture */
  slivers({ seen, y }) {
    const { context, theme } = this;
    context.fillStyle = theme.sliver;
    for (let at = 0; at < seen.slivers; at++) context.fillRect(seen.sliverLeft[at], y(seen.sliverRow[at]), Math.max(1 / this.ratio, seen.sliverRight[at] - seen.sliverLeft[at]), FRAME);
  }

  /** @param {Picture} picture */
  veils(picture) {
    const { context, theme } = this, { seen, scene: { tree: { func } }, hits, leads } = picture, draw = this.filled();
    context.fillStyle = theme.ground;
    for (const isLeading of [0, 1]) {
      context.globalAlpha = isLeading ? VEIL_LEADS : VEIL_OTHER;
      for (let at = 0; at < seen.count; at++) {
        const node = seen.node[at];
        if (hits && hits[func[node]] === 0 && leads[node] === isLeading && seen.right[at] - seen.left[at] > GAP_FROM) this.box(picture, at, draw);
      }
    }
    context.globalAlpha = 1;
  }

  /** @param {Picture} picture */
  hovered(picture) {
    const { context, theme } = this, { seen, hover, pointed, scene: { tree: { func } } } = picture;
    if (hover < 0 && pointed < 0) return;
    context.lineWidth = 1;
    context.strokeStyle = theme.ink2;
    context.fillStyle = theme.hover;
    const outline = this.outline(1), fill = this.filled();
    for (let at = 0; at < seen.count; at++) {
      if (seen.node[at] !== hover && func[seen.node[at]] !== pointed) continue;
      if (!theme.isForced) this.box(picture, at, fill);
      this.box(picture, at, outline);
    }
  }

  /** What stands in rows that have no frames: the folded trunk, threads' names. @param {Picture} picture */
  heads({ scene, y, wide, high }) {
    const { context, theme, font } = this, { folded, heads, tree: { func } } = scene;
    const all = folded > 0 ? [{ row: 0, text: "", trunk: Array.from({ length: folded }, (_, node) => func[node]) }, ...heads] : heads;
    context.lineWidth = 1;
    context.strokeStyle = theme.line;
    for (const { row, text, trunk } of all) {
      const top = y(row);
      if (top < -ROW || top > high) continue;
      context.fillStyle = theme.sunken;
      context.fillRect(0, top, wide, FRAME);
      if (trunk.length > 0) context.strokeRect(0.5, top + 0.5, wide - 1, FRAME - 1);
      context.fillStyle = theme.ink2;
      context.font = (trunk.length > 0 ? "" : "600 ") + font;
      context.fillText(fitted(context, trunk.length > 0 ? this.trunkWords(scene, trunk) : clean(text), wide - 2 * PAD), PAD, top + ROW / 2);
    }
  }

  /** @param {Scene} scene @param {number[]} trunk functions */
  trunkWords({ tree: { functions } }, trunk) {
    return `${trunk.length} frames folded:  ${trunk.map(func => clean(labelOf(functions[func]))).join(" › ")}`;
  }

  /** Labels of one weight at a time: to change the font costs more than to draw. @param {Picture} picture @param {0 | 1} bold */
  texts(picture, bold) {
    const { context, theme, labels } = this, { seen, scene: { tree, row }, colours: { swatches, of }, hits, shares, y, selected } = picture;
    context.font = (bold ? "600 " : "") + this.font;
    let ink = "";
    for (let at = 0; at < seen.count; at++) {
      const x = seen.left[at], wide = seen.right[at] - x - 1, node = seen.node[at], func = tree.func[node];
      if (wide + 1 < LABEL_FROM) continue;
      const isHit = hits !== null && hits[func] === 1;
      if ((isHit || node === selected || func === picture.bold ? 1 : 0) !== bold) continue;
      const next = theme.isForced ? theme.ink : hits && !isHit ? (picture.leads[node] ? theme.ink2 : theme.veiled) : swatches[of[node]].ink;
      if (next !== ink) context.fillStyle = ink = next;
      const middle = y(row[node]) + ROW / 2;
      let room = wide - 2 * PAD;
      if (wide + 1 >= SHARE_FROM) {
        const share = shares ? shares(node) : percent(tree.total[node], tree.all);
        const taken = labels.width(context, share);
        context.fillText(share, x + wide - PAD - taken, middle);
        room -= taken + 2 * PAD;
      }
      const text = labels.fit(context, func, room, bold);
      if (text !== "") context.fillText(text, x + PAD, middle);
    }
  }

  /** @param {Picture} picture */
  matches(picture) {
    const { context, theme } = this, { seen, scene: { tree: { func } }, hits } = picture, outline = this.outline(1.25);
    context.strokeStyle = theme.ink;
    context.lineWidth = 1.25;
    for (let at = 0; at < seen.count; at++) if (hits && hits[func[seen.node[at]]] === 1) this.box(picture, at, outline);
  }

  /** Also of what is too narrow to be seen. @param {Picture} picture */
  selection({ scene, selected, from, to, wide, y }) {
    if (selected < 0 || selected < scene.folded) return;
    const { context, theme } = this, scale = wide / (to - from);
    const left = (scene.begin[selected] - from) * scale, right = left + scene.tree.total[selected] * scale;
    if (right < 0 || left > wide) return;
    const x = Math.round(Math.max(0, left)) + 1, width = Math.max(2, Math.round(Math.min(wide, right)) - x - 2), top = y(scene.row[selected]) + 1;
    context.strokeStyle = theme.ground;
    context.lineWidth = 4;
    context.strokeRect(x + 1, top + 1, Math.max(0, width - 2), FRAME - 4);
    context.strokeStyle = theme.accent;
    context.lineWidth = 2;
    context.strokeRect(x, top, width, FRAME - 2);
  }
}

/** Lines at 45 degrees. @param {CanvasRenderingContext2D} context @param {string} colour */
function hatched(context, colour) {
  const size = 6, ratio = devicePixelRatio, tile = document.createElement("canvas"), on = tile.getContext("2d");
  tile.width = tile.height = Math.round(size * ratio);
  if (!on) return null;
  on.strokeStyle = colour;
  on.lineWidth = 1.5 * ratio;
  const side = tile.width;
  on.beginPath();
  for (const by of [-side, 0, side]) { on.moveTo(by - 2, side + 2); on.lineTo(by + side + 2, -2); }
  on.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern?.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}
