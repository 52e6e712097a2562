// @ts-check
// Moves among the frames of a graph, and a frame in words for those who do not see it.

import { clean } from "./colour.js";
import { percent } from "./format.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./scene.js").Scene} Scene */

/** The frames that the same frame calls, from left to right; of a root, all roots. @param {Scene} scene @param {number} node @returns {number[]} */
export function siblings({ parent, tree: { depth, total } }, node) {
  /** @type {number[]} */ const out = [];
  if (node < 0) return out;
  for (let at = parent[node] + 1; at < depth.length && depth[at] >= depth[node]; at++) if (depth[at] === depth[node] && total[at] > 0) out.push(at);
  return out;
}

/** The called frame with the most time, -1 for none. @param {Tree} tree @param {number} node */
export function widestChild({ depth, total }, node) {
  let widest = -1;
  for (let at = node + 1; at < depth.length && depth[at] > depth[node]; at++) if (depth[at] === depth[node] + 1 && total[at] > 0 && (widest < 0 || total[at] > total[widest])) widest = at;
  return widest;
}

/** The next frame around that is wider, -1 for none. @param {Scene} scene @param {number} node */
export function wider({ parent, folded, tree: { total } }, node) {
  let up = node;
  while (up >= folded && total[up] <= total[node]) up = parent[up];
  return up < folded ? -1 : up;
}

/** The next frame that a search finds, in the order of the rows, round and round; -1: there is none. @param {Scene} scene @param {Uint8Array} hits by function @param {number} node @param {1 | -1} way */
export function nextHit({ nodes, tree: { func } }, hits, node, way) {
  const many = nodes.length, start = node < 0 ? (way > 0 ? -1 : 0) : nodes.indexOf(node);
  for (let step = 1; step <= many; step++) {
    const at = nodes[(((start + way * step) % many) + many) % many];
    if (hits[func[at]]) return at;
  }
  return -1;
}

/** @param {Tree} tree @param {number} node @param {number} place among its siblings, from 1 @param {number} of how many they are */
export function words({ functions, func, own, total, depth, all }, node, place, of) {
  const { name, file, line } = functions[func[node]], share = (/** @type {number} */ us) => percent(us, all).replace(/\s?%/, " percent");
  return `${clean(name)}, ${clean(file ?? "no file")}${line ? " " + line : ""}, self ${share(own[node])}, total ${share(total[node])}, depth ${depth[node]}, ${place} of ${of}`;
}
