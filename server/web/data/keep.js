// @ts-check
// A newer tree in the order of an older one, so that nothing moves under a pointer: what is new stands behind what was there.

import { ends } from "./outline.js";
import { frameOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */

/** @param {Tree} tree @param {Tree} before @returns {Tree} */
export function inOrderOf(tree, before) {
  if (tree === before) return tree;
  const many = tree.depth.length, end = ends(tree), order = new Int32Array(many);
  /** @type {Map<string, number>} */ const places = new Map();
  for (let node = 0; node < before.depth.length; node++) places.set(frameOf(before, node), node);
  const place = Float64Array.from({ length: many }, (_, node) => places.get(frameOf(tree, node)) ?? Infinity);
  // Equal places are new ones: they stay in their own order.
  const byPlace = (/** @type {number} */ a, /** @type {number} */ b) => place[a] === place[b] ? a - b : place[a] - place[b];
  const below = (/** @type {number} */ from, /** @type {number} */ to) => {
    /** @type {number[]} */ const list = [];
    for (let node = from; node < to; node = end[node]) list.push(node);
    return list.sort(byPlace).reverse();
  };
  const open = below(0, many);
  for (let at = 0; at < many; at++) {
    const node = /** @type {number} */ (open.pop());
    order[at] = node;
    for (const child of below(node + 1, end[node])) open.push(child);
  }
  const column = (/** @type {ArrayLike<number>} */ all) => Float64Array.from(order, node => all[node]);
  return {
    ...tree, func: Int32Array.from(order, node => tree.func[node]), depth: Int32Array.from(order, node => tree.depth[node]), total: column(tree.total),
    own: column(tree.own),
    states: tree.states?.map(({ name, own }) => ({ name, own: column(own) })) ?? null,
    samples: tree.samples ? { own: column(tree.samples.own), total: column(tree.samples.total) } : null,
  };
}
