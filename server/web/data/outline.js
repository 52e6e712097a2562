// @ts-check
// A call tree as rows that open and close: which of them are shown, in which order. Pure.

import { keyOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** What is open, by the keys of functions from the root on. @typedef {Map<string, Open>} Open */
/** `size` siblings, of which it is the `place`-th, from 1. @typedef {{node: number, depth: number, isOpen: boolean, hasMore: boolean, size: number,
 *  place: number}} Row */

/** The node behind the last one below each. @param {Tree} tree */
export function ends({ depth }) {
  const many = depth.length, end = new Int32Array(many);
  /** @type {number[]} */ const open = [];
  for (let node = 0; node <= many; node++) {
    const level = node < many ? depth[node] : -1;
    while (open.length > 0 && depth[open[open.length - 1]] >= level) end[/** @type {number} */ (open.pop())] = node;
    if (node < many) open.push(node);
  }
  return end;
}

/** The children of a node, of -1 the roots, largest first. @param {Int32Array} end @param {number} node @param {number} many */
function children(end, node, many) {
  /** @type {number[]} */ const list = [];
  for (let at = node + 1, last = node < 0 ? many : end[node]; at < last; at = end[at]) list.push(at);
  return list;
}

/** @param {Tree} tree @param {Int32Array} end @param {Open} open @param {"total" | "own"} by @returns {Row[]} */
export function rows(tree, end, open, by) {
  /** @type {Row[]} */ const list = [], many = tree.depth.length;
  /** Deep trees: no recursion. @type {{nodes: number[], at: number, open: Open | undefined}[]} */ const path = [];
  const enter = (/** @type {number} */ node, /** @type {Open | undefined} */ below) => {
    const nodes = children(end, node, many);
    if (by === "own") nodes.sort((a, b) => tree.own[b] - tree.own[a] || tree.total[b] - tree.total[a]);
    path.push({ nodes, at: 0, open: below });
  };
  enter(-1, open);
  while (path.length > 0) {
    const level = path[path.length - 1];
    if (level.at === level.nodes.length) { path.pop(); continue; }
    const node = level.nodes[level.at++], hasMore = end[node] > node + 1, below = hasMore ? level.open?.get(keyOf(tree.functions[tree.func[node]])) : undefined;
    list.push({ node, depth: tree.depth[node], isOpen: below !== undefined, hasMore, size: level.nodes.length, place: level.at });
    if (below) enter(node, below);
  }
  return list;
}

/** The keys from the root to a node. @param {Tree} tree @param {Int32Array} parent @param {number} node */
export function pathOf(tree, parent, node) {
  /** @type {string[]} */ const path = [];
  for (let at = node; at >= 0; at = parent[at]) path.unshift(keyOf(tree.functions[tree.func[at]]));
  return path;
}

/** Opens everything along a path. @param {Open} open is changed @param {string[]} path */
export function opened(open, path) {
  let level = open;
  for (const key of path) {
    const below = level.get(key) ?? new Map();
    level.set(key, below);
    level = below;
  }
}

/** Closes what a path leads to. @param {Open} open is changed @param {string[]} path */
export function closed(open, path) {
  /** @type {Open | undefined} */ let level = open;
  for (const key of path.slice(0, -1)) level = level?.get(key);
  level?.delete(path[path.length - 1]);
}

/** The node at the end of the path that always takes most of the time, as long as that is much of all. @param {Tree} tree @param {Int32Array} end
 *  @param {number} [least] share of all */
export function hotPath(tree, end, least = 0.1) {
  let node = -1;
  for (let next = 0; next < tree.depth.length && tree.total[next] >= tree.all * least; next++) {
    node = next;
    // The first child stands behind its parent, and is the largest.
    if (end[node] === node + 1) break;
  }
  return node;
}
