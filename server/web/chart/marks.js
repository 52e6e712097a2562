// @ts-check
// What stands over a chart's lines: the time that is chosen, releases, a budget, single points. And how colours get thin.

import Plot from "../vendor/uplot.js";
import { token } from "../shell/theme.js";

/** At `x` a line down, at `y` a dashed line across, at both a point, with its text above it or `isBelow`.
 *  @typedef {{x?: number, y?: number, text: string, colour?: string, isBelow?: boolean}} Mark */
/** What stands out between two times; the rest is veiled. @typedef {{from: number, to: number, colour: string}} Window */

/** How much shows through the veil. */
const VEIL = 0.66;

/** @param {Plot} plot @param {Mark[]} marks @param {Window | undefined} window @param {string} font a family */
export function drawOver(plot, marks, window, font) {
  const { ctx } = plot, ratio = Plot.pxRatio;
  ctx.save();
  if (window) drawWindow(plot, window, ratio);
  ctx.font = `${11 * ratio}px ${font}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.lineWidth = ratio;
  /** Where there is room for words again. */
  let free = 0;
  for (const mark of marks) {
    ctx.strokeStyle = ctx.fillStyle = token(mark.colour ?? "ink");
    if (mark.x !== undefined && mark.y !== undefined) drawPoint(plot, mark.x, mark.y, mark, ratio);
    else if (mark.x !== undefined) free = drawDown(plot, mark.x, mark.text, free, ratio);
    else if (mark.y !== undefined) drawAcross(plot, mark.y, mark.text, ratio);
  }
  ctx.restore();
}

/** @param {Plot} plot @param {Window} window @param {number} ratio */
function drawWindow({ ctx, bbox, valToPos }, { from, to, colour }, ratio) {
  const left = Math.max(bbox.left, valToPos(from, "x", true)), right = Math.min(bbox.left + bbox.width, valToPos(to, "x", true)), { height } = ctx.canvas;
  ctx.fillStyle = clear(token("sunken"), VEIL);
  ctx.fillRect(bbox.left, 0, left - bbox.left, height);
  ctx.fillRect(right, 0, bbox.left + bbox.width - right, height);
  ctx.strokeStyle = token(colour);
  ctx.lineWidth = 1.5 * ratio;
  if (right - left > 1) ctx.strokeRect(left + ratio, ratio, right - left - 2 * ratio, height - 2 * ratio);
}

/** @param {Plot} plot @param {number} x @param {number} y @param {Mark} mark @param {number} ratio */
function drawPoint({ ctx, bbox, valToPos }, x, y, { text, isBelow }, ratio) {
  const left = valToPos(x, "x", true), top = valToPos(y, "y", true), wide = ctx.measureText(text).width;
  ctx.beginPath();
  ctx.arc(left, top, 3.5 * ratio, 0, 2 * Math.PI);
  ctx.fill();
  ctx.fillText(text, Math.max(bbox.left, left - wide - 8 * ratio), isBelow ? top + 12 * ratio : Math.max(8 * ratio, top - 11 * ratio));
}

/** @param {Plot} plot @param {number} x @param {string} text @param {number} free @param {number} ratio @returns {number} where there is room for the next words */
function drawDown({ ctx, bbox, valToPos, scales }, x, text, free, ratio) {
  if (x < (scales.x.min ?? x) || x > (scales.x.max ?? x)) return free;
  const left = Math.round(valToPos(x, "x", true)) + 0.5, wide = ctx.measureText(text).width, gap = 6 * ratio;
  const at = left + wide + 2 * gap < bbox.left + bbox.width ? left + gap : left - wide - gap;
  stroke(ctx, left, 2 * ratio, left, bbox.top + bbox.height);
  if (at < free) return free;
  ctx.fillText(text, at, 8 * ratio);
  return at + wide + gap;
}

/** @param {Plot} plot @param {number} y @param {string} text @param {number} ratio */
function drawAcross({ ctx, bbox, valToPos }, y, text, ratio) {
  const top = Math.round(valToPos(y, "y", true)) + 0.5, wide = ctx.measureText(text).width, ink = ctx.fillStyle;
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  stroke(ctx, bbox.left, top, bbox.left + bbox.width, top);
  ctx.setLineDash([]);
  ctx.fillStyle = token("bg");
  ctx.fillRect(bbox.left + 6 * ratio, top - 7 * ratio, wide + 8 * ratio, 14 * ratio);
  ctx.fillStyle = ink;
  ctx.fillText(text, bbox.left + 10 * ratio, top);
}

/** What is expected, not measured. @param {CanvasRenderingContext2D} context */
export function hatch(context) {
  const tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = 6;
  if (pen) { pen.strokeStyle = token("line2"); stroke(pen, -1, 7, 7, -1); }
  return context.createPattern(tile, "repeat") ?? token("line");
}

/** @param {string} colour as `token` says it @param {number} alpha */
export function clear(colour, alpha) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

/** @param {CanvasRenderingContext2D} context @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function stroke(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
