// @ts-check
// Threads in order of time: intervals that have the same frames from the root on, one behind the other, are one frame of a chart.
// A chart is a tree whose nodes say when they begin.

import { packageOf } from "./pills.js";
import { STATE_NAMES, stateOf } from "./states.js";
import { keyOf } from "./tree.js";

/** @typedef {import("./tree.js").Func} Func */
/** Its nodes stand from `first` until before `end`; `folded` are the functions that all of its stacks begin with, where they are left out.
 *  @typedef {{profiler: string, id: string, name: ?string, first: number, end: number, rows: number, folded: number[]}} Track */
/** `begin` counts from `origin`, microseconds since 1970. @typedef {import("./tree.js").Tree & {begin: Float64Array, tracks: Track[], origin: number, span: number}} Chart */
/** What `/timeline` answers, its functions as trees have them.
 *  @typedef {{origin: number, span: number, functions: Func[], stacks: number[][], threads: {profiler_id: string, id: string, name: ?string}[],
 *  intervals: {thread: number[], stack: number[], start_us: number[], length_us: number[], state: string[]}}} Timeline */

/** A gap that is shorter is none: times are rounded, microseconds. */
const GAP_US = 2;

/** The intervals of each thread, in their order. @param {Timeline} of @returns {number[][]} */
function byThread({ threads, intervals }) {
  /** @type {number[][]} */ const lists = threads.map(() => []);
  for (let at = 0; at < intervals.thread.length; at++) lists[intervals.thread[at]].push(at);
  return lists;
}

/** Threads that did most first; all that ran before those that did not. @param {Timeline} of @returns {number[]} */
export function busiest(of) {
  const { intervals: { thread, state, length_us } } = of, worked = of.threads.map(() => 0), there = of.threads.map(() => 0);
  for (let at = 0; at < thread.length; at++) {
    const name = stateOf(state[at]);
    if (name === "on_cpu" || name === "unknown" || name === "runnable") worked[thread[at]] += length_us[at];
    there[thread[at]] += length_us[at];
  }
  return [...worked.keys()].filter(at => there[at] > 0).sort((a, b) => worked[b] - worked[a] || there[b] - there[a]);
}

/** @param {Timeline} of @param {number[]} threads which of them, from the top down @param {(stack: number[]) => number[]} [change] what becomes of a stack, root first
 *  @param {boolean} [fold] leaves out what all stacks of a thread begin with @returns {Chart} */
export function chart(of, threads, change = stack => stack, fold = false) {
  const { intervals, functions } = of, stacks = of.stacks.map(change), lists = byThread(of);
  /** @type {number[]} */ const func = [], depth = [], begin = [], total = [], own = [];
  /** @type {number[][]} */ const ownIn = STATE_NAMES.map(() => []);
  /** @type {Track[]} */ const tracks = [];
  let all = 0;
  for (const thread of threads) {
    const first = func.length, folded = fold ? trunkOf(lists[thread].map(at => stacks[intervals.stack[at]])) : [];
    /** Open nodes, from the root. @type {number[]} */ const open = [];
    let until = 0, rows = 0;
    for (const at of lists[thread]) {
      const stack = folded.length > 0 ? stacks[intervals.stack[at]].slice(folded.length) : stacks[intervals.stack[at]], start = intervals.start_us[at], end = start + intervals.length_us[at];
      let same = 0;
      if (start - until <= GAP_US) while (same < open.length && same < stack.length && func[open[same]] === stack[same]) same++;
      open.length = same;
      for (let level = same; level < stack.length; level++) {
        open.push(func.push(stack[level]) - 1);
        depth.push(level);
        begin.push(start);
        total.push(0);
        own.push(0);
        ownIn.forEach(column => column.push(0));
      }
      for (const node of open) total[node] = end - begin[node];
      until = end;
      if (open.length === 0) continue;
      const leaf = open[open.length - 1];
      own[leaf] += end - start;
      ownIn[STATE_NAMES.indexOf(stateOf(intervals.state[at]))][leaf] += end - start;
      all += end - start;
      rows = Math.max(rows, open.length);
    }
    const { profiler_id: profiler, id, name } = of.threads[thread];
    tracks.push({ profiler, id, name, first, end: func.length, rows, folded });
  }
  return {
    functions, func: Int32Array.from(func), depth: Int32Array.from(depth), total: Float64Array.from(total), own: Float64Array.from(own), all, seen: 0,
    states: STATE_NAMES.map((name, at) => ({ name, own: Float64Array.from(ownIn[at]) })).filter(({ own }) => own.some(us => us > 0)), samples: null,
    begin: Float64Array.from(begin), tracks, origin: of.origin, span: of.span,
  };
}

/** What all stacks begin with that have any frame, as long as that leaves one; a single frame is not worth folding. @param {number[][]} stacks */
function trunkOf(stacks) {
  const filled = stacks.filter(({ length }) => length > 0), [first = []] = filled;
  let same = Math.max(0, first.length - 1);
  for (const stack of filled) {
    same = Math.min(same, stack.length - 1);
    for (let at = 0; at < same; at++) if (stack[at] !== first[at]) same = at;
  }
  return same > 1 ? first.slice(0, same) : [];
}

/** What pills make of a stack, root first. @param {Func[]} functions @param {{kind: string, name: string}[]} pills @returns {(stack: number[]) => number[]} */
export function pilled(functions, pills) {
  const steps = pills.flatMap(({ kind, name }) => {
    const is = Uint8Array.from(functions, func => (kind === "hide:pkg" ? packageOf(func) === name : keyOf(func) === name) ? 1 : 0);
    switch (kind) {
      case "hide:fn": case "hide:pkg": return [(/** @type {number[]} */ stack) => stack.filter(func => is[func] === 0)];
      case "focus": return [(/** @type {number[]} */ stack) => { const at = stack.findIndex(func => is[func] === 1); return at < 0 ? [] : stack.slice(at); }];
      case "rec": return [(/** @type {number[]} */ stack) => recursed(stack, is)];
      default: return [];
    }
  });
  return stack => steps.reduce((stack, step) => step(stack), stack);
}

/** A call of a function by itself takes it back to where it first stood. @param {number[]} stack @param {Uint8Array} is */
function recursed(stack, is) {
  /** @type {number[]} */ const out = [];
  for (const func of stack) {
    const first = is[func] ? out.indexOf(func) : -1;
    if (first >= 0) out.length = first + 1; else out.push(func);
  }
  return out;
}
