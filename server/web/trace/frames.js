// @ts-check
// The frames of one thread in order of time, cut to a few rows: from the first frame of the application on, below what all
// stacks have in common.

import { func } from "../data/api.js";

const ROWS = 3;

/** A frame of a row: `begin` and `end` from 0 to 1. @typedef {{row: number, begin: number, end: number, func: number}} Frame */

/** The frames of a thread: neighbours of one function and what is below it are one. @param {any} body as `/timeline` answers, of one thread
 *  @returns {{frames: Frame[], functions: import("../data/tree.js").Func[]}} */
export function frames(body) {
  const { intervals: { stack: of, start_us, length_us }, from_us, to_us, origin_us } = body, functions = body.functions.map(func);
  const fromApp = (/** @type {number[]} */ stack) => stack.slice(Math.max(0, stack.findIndex(at => functions[at].inApp)));
  /** @type {number[][]} */ const stacks = body.stacks.map(fromApp);
  const seen = [...new Set(of)].map(at => stacks[at]).filter(stack => stack.length > 0);
  let trunk = 0;
  while (seen.length > 0 && seen.every(stack => trunk < stack.length - 1 && stack[trunk] === seen[0][trunk])) trunk++;
  /** @type {Frame[]} */ const frames = [];
  /** The last frame of each row. @type {(Frame | undefined)[]} */ const open = [];
  const scale = (/** @type {number} */ us) => Math.max(0, Math.min(1, (us + origin_us - from_us) / Math.max(1, to_us - from_us)));
  for (let at = 0; at < of.length; at++) {
    const stack = stacks[of[at]].slice(trunk, trunk + ROWS), begin = scale(start_us[at]), end = scale(start_us[at] + length_us[at]);
    let isSame = true;
    for (let row = 0; row < ROWS; row++) {
      const last = open[row];
      isSame = isSame && row < stack.length && last !== undefined && last.func === stack[row] && begin - last.end < 1e-6;
      if (isSame && last) { last.end = end; continue; }
      open[row] = row < stack.length ? { row, begin, end, func: stack[row] } : undefined;
      const made = open[row];
      if (made) frames.push(made);
    }
  }
  return { frames, functions };
}
