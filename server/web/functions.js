// @ts-check
// The functions of a tree, hottest first. A function that calls itself counts once in its total.

/** @typedef {import("./flame.js").Tree} Tree */

/** @param {Tree} tree @returns {{func: number, own: number, total: number}[]} */
export function hottest(tree) {
  const own = new Float64Array(tree.functions.length), total = new Float64Array(tree.functions.length);
  const open = new Uint32Array(tree.functions.length);
  /** @type {number[]} */ const above = [];
  for (let node = 0; node < tree.depth.length; node++) {
    while (above.length > tree.depth[node]) open[/** @type {number} */ (above.pop())]--;
    const func = tree.func[node];
    own[func] += tree.own[node];
    if (open[func] === 0) total[func] += tree.total[node];
    open[func]++;
    above.push(func);
  }
  const rows = [...tree.functions.keys()].map(func => ({ func, own: own[func], total: total[func] }));
  return rows.sort((a, b) => b.own - a.own || b.total - a.total);
}
