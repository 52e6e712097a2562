// @ts-check
// Where the frames of a graph stand, and which of them can be seen. No more is looked at than that: a row has its nodes from
// left to right, so the first one is found by halving; what is narrower than half a pixel is passed over a pixel at a time.

import { layout, parents, trunk } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** The nodes of row `r` are `nodes[first[r]]` until before `nodes[first[r + 1]]`, from left to right; `left` and `right` are
 *  where they begin and end, in that order, since looking along a row is what is done most. `span` is what fills the width unzoomed; `folded` nodes of the
 *  trunk stand in row 0 as one. `heads` are rows that hold words: a thread's name, or the functions of a folded trunk.
 *  @typedef {{tree: Tree, begin: Float64Array, parent: Int32Array, row: Int32Array, rows: number, first: Int32Array, nodes: Int32Array, left: Float64Array, right: Float64Array, span: number, folded: number,
 *  heads: {row: number, text: string, trunk: number[]}[]}} Scene */

/** Narrower frames are drawn as part of a sliver, pixels. */
export const SLIVER = 0.5;

/** @param {Tree} tree @param {boolean} fold @returns {Scene} */
export function sceneOf(tree, fold) {
  const folded = fold ? trunk(tree) : 0, lift = folded > 1 ? folded - 1 : 0;
  const row = new Int32Array(tree.depth);
  for (let node = 0; lift > 0 && node < row.length; node++) row[node] = Math.max(0, row[node] - lift);
  return placed(tree, layout(tree), row, Math.max(1, tree.all), lift > 0 ? folded : 0, []);
}

/** Threads one below the other. @param {import("./timeline.js").Chart} chart @param {(track: import("./timeline.js").Track) => string} nameOf @returns {Scene} */
export function sceneOfChart(chart, nameOf) {
  const row = new Int32Array(chart.depth.length), isOne = chart.tracks.length < 2;
  /** @type {Scene["heads"]} */ const heads = [];
  let top = 0;
  for (const track of chart.tracks) {
    if (!isOne) heads.push({ row: top++, text: nameOf(track), trunk: [] });
    if (track.folded.length > 0) heads.push({ row: top++, text: "", trunk: track.folded });
    for (let node = track.first; node < track.end; node++) row[node] = top + chart.depth[node];
    top += track.rows;
  }
  return placed(chart, { begin: chart.begin, parent: parents(chart) }, row, Math.max(1, chart.span), 0, heads);
}

/** @param {Tree} tree @param {{begin: Float64Array, parent: Int32Array}} at @param {Int32Array} row @param {number} span @param {number} folded @param {Scene["heads"]} heads @returns {Scene} */
function placed(tree, { begin, parent }, row, span, folded, heads) {
  const { total } = tree;
  let rows = heads.length > 0 ? heads[heads.length - 1].row + 1 : 0;
  for (let node = 0; node < row.length; node++) if (row[node] >= rows) rows = row[node] + 1;
  const first = new Int32Array(rows + 1);
  for (let node = folded; node < row.length; node++) if (total[node] > 0) first[row[node] + 1]++;
  for (let at = 0; at < rows; at++) first[at + 1] += first[at];
  const nodes = new Int32Array(first[rows]), next = first.slice();
  const left = new Float64Array(nodes.length), right = new Float64Array(nodes.length);
  for (let node = folded; node < row.length; node++) {
    if (total[node] <= 0) continue;
    const place = next[row[node]]++;
    nodes[place] = node;
    left[place] = begin[node];
    right[place] = begin[node] + total[node];
  }
  return { tree, begin, parent, row, rows, first, nodes, left, right, span, folded, heads };
}

/** The first place from `from` until before `to` whose node ends behind a time. @param {Float64Array} right where nodes end @param {number} time @param {number} from @param {number} to */
export function search(right, time, from, to) {
  // Steps that double, then halving between the last two: what is near is found fast.
  let low = from, step = 1;
  while (low < to && right[Math.min(to, low + step) - 1] <= time) { low += step; step *= 2; }
  let high = Math.min(to, low + step);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (right[middle] > time) high = middle; else low = middle + 1;
  }
  return Math.min(low, to);
}

/** What can be seen: `count` frames, then slivers, which are nodes from place `from` until before `to`. They are kept from one drawing to the next. */
export class Seen {
  constructor() {
    this.node = new Int32Array(1024);
    this.left = new Float64Array(1024);
    this.right = new Float64Array(1024);
    this.count = 0;
    this.slivers = 0;
    this.sliverRow = new Int32Array(1024);
    this.sliverLeft = new Float64Array(1024);
    this.sliverRight = new Float64Array(1024);
    this.from = new Int32Array(1024);
    this.to = new Int32Array(1024);
  }

  /** @param {number} node @param {number} left @param {number} right */
  add(node, left, right) {
    const at = this.count++;
    if (at === this.node.length) {
      const { node, left, right } = this;
      (this.node = new Int32Array(2 * at)).set(node);
      (this.left = new Float64Array(2 * at)).set(left);
      (this.right = new Float64Array(2 * at)).set(right);
    }
    this.node[at] = node;
    this.left[at] = left;
    this.right[at] = right;
  }

  /** @param {number} row @param {number} left @param {number} right @param {number} first @param {number} end places */
  sliver(row, left, right, first, end) {
    const at = this.slivers++;
    if (at === this.from.length) {
      const { sliverRow, sliverLeft, sliverRight, from, to } = this;
      (this.sliverRow = new Int32Array(2 * at)).set(sliverRow);
      (this.sliverLeft = new Float64Array(2 * at)).set(sliverLeft);
      (this.sliverRight = new Float64Array(2 * at)).set(sliverRight);
      (this.from = new Int32Array(2 * at)).set(from);
      (this.to = new Int32Array(2 * at)).set(to);
    }
    this.sliverRow[at] = row;
    this.sliverLeft[at] = left;
    this.sliverRight[at] = right;
    this.from[at] = first;
    this.to[at] = end;
  }

  /** Looks again. @param {Scene} scene @param {number} from the time at the left edge @param {number} to that at the right @param {number} wide pixels
   *  @param {number} firstRow @param {number} lastRow */
  look(scene, from, to, wide, firstRow, lastRow) {
    this.count = this.slivers = 0;
    const last = Math.min(lastRow, scene.rows - 1);
    for (let row = Math.max(0, firstRow); row <= last; row++) this.lookAlong(scene, from, wide / (to - from), wide, row);
  }

  /** @param {Scene} scene @param {number} from @param {number} scale pixels a microsecond @param {number} wide @param {number} row */
  lookAlong({ nodes, first, left, right }, from, scale, wide, row) {
    const end = first[row + 1];
    for (let place = search(right, from, first[row], end); place < end; ) {
      const x = (left[place] - from) * scale, until = (right[place] - from) * scale;
      if (x >= wide) return;
      if (until - x >= SLIVER) { this.add(nodes[place], Math.max(0, x), Math.min(wide, until)); place++; continue; }
      const start = place;
      let edge = 0, next = x, isNarrow = true;
      do {
        edge = Math.floor(Math.max(0, next)) + 1;
        place = search(right, from + edge / scale, place + 1, end);
        if (place === end) break;
        next = (left[place] - from) * scale;
        isNarrow = (right[place] - left[place]) * scale < SLIVER;
      } while (isNarrow && next < edge + 1 && next < wide);
      this.sliver(row, Math.max(0, x), Math.min(wide, Math.max((right[place - 1] - from) * scale, x + SLIVER)), start, place);
    }
  }
}
