// @ts-check
// Paints the timeline on its canvas: axis, CPU, transactions, spans, threads, and a veil over what is not in the window.

import { cores, count } from "../data/format.js";
import { token } from "../shell/theme.js";
import { COLUMN, thinned } from "./lanes.js";

/** Heights of the strips, pixels. */
export const HIGH = { axis: 22, cpu: 58, lane: 18, thread: 20 };
/** Where each strip begins. */
export const TOP = { cpu: 22, transactions: 80, spans: 98, threads: 116 };
/** A bar that is narrower has no label, pixels. */
const LABEL_MIN = 40;
/** A label keeps so far from the next, pixels. */
const GAP = 6;

/** `mark`: a release was first seen.
 *  @typedef {{from: number, to: number, width: number, ticks: import("../data/axis.js").Tick[], usage: ?ReturnType<typeof import("./lanes.js").usage>,
 *  starts: number[], most: number, cores: ?number,
 *  marks: {at: number, text: string}[], transactions: import("./lanes.js").Lane, names: (item: number) => string, isFailed: (item: number) => boolean,
 *  spans: import("./lanes.js").Lane, spanColour: (item: number) => string,
 *  spanNames: (item: number) => string, since: {transactions: number, spans: number}, threads: {busy: ?Float64Array, isChosen: boolean}[], rows: number,
 *  chosen: ?{from: number, to: number}, hidden: ?[number, number]}} Picture
 *  `since`: before it the lanes are not known, 0 where all is; `hidden`: between these pixels the axis has other words. */

/** @param {HTMLCanvasElement} canvas @param {Picture} picture */
export function paint(canvas, picture) {
  const { width, rows } = picture, high = TOP.threads + rows * HIGH.thread, context = canvas.getContext("2d");
  if (!context || width === 0) return;
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(high * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "11px " + getComputedStyle(canvas).fontFamily;
  context.textBaseline = "middle";
  const x = (/** @type {number} */ us) => (us - picture.from) / Math.max(1, picture.to - picture.from) * width;
  const fill = (/** @type {string} */ colour, /** @type {number} */ left, /** @type {number} */ top, /** @type {number} */ wide, /** @type {number} */ tall) =>
    { context.fillStyle = token(colour); context.fillRect(left, top, wide, tall); };
  fill("bg", 0, 0, width, high);
  for (const { at } of picture.ticks) fill("line", Math.round(x(at)), 0, 1, high);
  cpu(context, picture, x, fill);
  lane(context, picture.transactions, TOP.transactions, picture.names, () => "cpu", picture.isFailed, fill);
  lane(context, picture.spans, TOP.spans, picture.spanNames, picture.spanColour, () => false, fill);
  unknown(context, picture, x);
  threads(context, picture, fill);
  for (const top of [TOP.cpu, TOP.threads]) fill("line", 0, top, width, 1);
  if (picture.chosen) {
    const left = Math.max(0, x(picture.chosen.from)), right = Math.min(width, x(picture.chosen.to));
    fill("veil", 0, TOP.cpu, left, high);
    fill("veil", right, TOP.cpu, width - right, high);
  }
  labels(context, picture, x);
}

/** @typedef {(colour: string, left: number, top: number, wide: number, tall: number) => void} Fill */

/** @param {CanvasRenderingContext2D} context @param {Picture} picture @param {(us: number) => number} x */
function labels(context, { ticks, width, hidden, marks }, x) {
  context.fillStyle = token("ink3");
  let free = 0;
  for (const { at, text } of ticks) {
    const wide = context.measureText(text).width, left = Math.min(width - wide - 4, Math.max(4, x(at) - wide / 2));
    if (left < free || hidden && left < hidden[1] && left + wide > hidden[0]) continue;
    context.fillText(text, left, HIGH.axis / 2);
    free = left + wide + GAP * 2;
  }
  free = 0;
  for (const { at: since, text } of marks) {
    const left = x(since), words = text.slice(0, 60), wide = context.measureText(words).width;
    const at = left + GAP + wide > width ? left - GAP - wide : left + GAP;
    context.fillStyle = token("ink2");
    context.fillRect(Math.round(left), TOP.cpu, 1, HIGH.cpu);
    if (at < free) continue;
    free = at + wide + GAP;
    context.fillStyle = token("bg");
    context.globalAlpha = 0.8;
    context.fillRect(at - 2, TOP.cpu + 2, wide + 4, 14);
    context.globalAlpha = 1;
    context.fillStyle = token("ink2");
    context.fillText(words, at, TOP.cpu + 9);
  }
}

/** @param {CanvasRenderingContext2D} context @param {Picture} picture @param {(us: number) => number} x @param {Fill} fill */
function cpu(context, { usage, starts, most, cores: machine, width, to }, x, fill) {
  if (!usage || starts.length === 0) return;
  const base = TOP.cpu + HIGH.cpu, y = (/** @type {number} */ value) => base - value / most * (HIGH.cpu - 8);
  const path = (/** @type {number[]} */ values) => {
    context.beginPath();
    values.forEach((value, at) => { context.lineTo(x(starts[at]), y(value)); context.lineTo(x(starts[at + 1] ?? to), y(value)); });
  };
  const area = (/** @type {number[]} */ values, /** @type {string} */ colour) => {
    path(values);
    context.lineTo(width, base);
    context.lineTo(0, base);
    context.fillStyle = token(colour);
    context.fill();
  };
  if (usage.known) area(usage.all, "press");
  area(usage.main, usage.known ? "cpufill" : "press");
  path(usage.main);
  context.strokeStyle = token(usage.known ? "cpu" : "ink3");
  context.lineWidth = 1.25;
  context.stroke();
  if (machine && machine <= most) {
    context.setLineDash([2, 3]);
    context.strokeStyle = token("ink3");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, Math.round(y(machine)) + 0.5);
    context.lineTo(width, Math.round(y(machine)) + 0.5);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = token("ink2");
    // Releases are named from the left.
    context.textAlign = "right";
    context.fillText(`${count(machine)} cores`, width - 16, y(machine) + 9);
    context.textAlign = "left";
  }
  fill("line", 0, base, width, 1);
}

/** @param {CanvasRenderingContext2D} context @param {import("./lanes.js").Lane} lane @param {number} top @param {(item: number) => string} name
 *  @param {(item: number) => string} colour
 *  @param {(item: number) => boolean} isFailed @param {Fill} fill */
function lane(context, { bars, rows, columns, failed, most }, top, name, colour, isFailed, fill) {
  const tall = HIGH.lane - 4;
  columns?.forEach((many, at) => {
    if (many === 0) return;
    const high = Math.max(2, Math.round(Math.sqrt(many / most) * tall));
    context.globalAlpha = 0.6;
    fill(top === TOP.spans ? "d3" : "cpu", at * COLUMN, top + HIGH.lane - 1 - high, COLUMN - 1, high);
    context.globalAlpha = 1;
    if (failed[at] > 0) fill("bad", at * COLUMN, top + 1, COLUMN - 1, 3);
  });
  const high = Math.max(3, Math.floor((HIGH.lane - 3) / rows) - (rows > 1 ? 1 : 0));
  for (const { left, right, row, item } of bars) {
    const y = top + 2 + row * (high + 1), wide = right - left, isSpan = top === TOP.spans;
    if (isSpan) context.globalAlpha = 0.65;
    fill(isSpan ? colour(item) : wide > 4 ? "sel" : "cpu", left, y, Math.max(1, wide - (wide > 3 ? 1 : 0)), high);
    context.globalAlpha = 1;
    if (!isSpan && wide > 4) fill("cpu", left, y, 2, high);
    if (isFailed(item)) fill("bad", left, y, Math.max(2, wide - 1), 3);
    if (rows > 1 || wide < LABEL_MIN) continue;
    context.fillStyle = token("ink");
    context.fillText(fit(context, name(item), wide - 10), left + 6, y + high / 2 + 1);
  }
}

/** Hatches what came before the first that was told. @param {CanvasRenderingContext2D} context @param {Picture} picture @param {(us: number) => number} x */
function unknown(context, { since, width }, x) {
  context.strokeStyle = token("line2");
  context.lineWidth = 1;
  for (const [top, from] of [[TOP.transactions, since.transactions], [TOP.spans, since.spans]]) {
    // Nothing at all may have been told: then all of it is not known.
    const right = from > 0 ? Math.min(width, x(from)) : 0;
    context.save();
    context.beginPath();
    context.rect(0, top + 2, right, HIGH.lane - 4);
    context.clip();
    context.beginPath();
    for (let at = -HIGH.lane; at < right; at += 6) { context.moveTo(at, top + HIGH.lane); context.lineTo(at + HIGH.lane, top); }
    context.stroke();
    context.restore();
  }
}

/** @param {CanvasRenderingContext2D} context @param {Picture} picture @param {Fill} fill */
function threads(context, { threads: list, width }, fill) {
  list.forEach(({ busy, isChosen }, row) => {
    const top = TOP.threads + row * HIGH.thread;
    if (isChosen) fill("sel", 0, top, width, HIGH.thread);
    if (busy) {
      const values = thinned(busy, Math.floor(width / COLUMN)), wide = width / Math.max(1, values.length);
      context.globalAlpha = isChosen ? 1 : 0.6;
      values.forEach((value, at) => {
        const high = Math.round(value * (HIGH.thread - 5));
        if (value > 0) fill("cpu", at * wide, top + HIGH.thread - 1 - Math.max(1, high), Math.max(1, wide - 1), Math.max(1, high));
      });
      context.globalAlpha = 1;
    }
    fill("line", 0, top + HIGH.thread - 1, width, 1);
  });
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function fit(context, text, room) {
  const first = text.slice(0, 80);
  if (context.measureText(first).width <= room) return first;
  let short = first.length;
  while (short > 0 && context.measureText(first.slice(0, short) + "…").width > room) short--;
  return short > 2 ? first.slice(0, short) + "…" : "";
}

/** What the picture says, in words. @param {Picture} picture @param {{transactions: number, spans: number}} many */
export function inWords({ usage, from, to, marks, chosen }, many) {
  const { from: a, to: b } = chosen ?? { from, to };
  return [
    usage ? `${usage.known ? "CPU" : "Threads that were not idle, no CPU states are known"}: mean ${cores(usage.mean(a, b))}, most ${cores(usage.most)}.`
      : "CPU is not known.",
    `${count(many.transactions)} transactions, ${count(many.spans)} spans.`, ...marks.map(({ text }) => text + "."),
  ].join(" ");
}
