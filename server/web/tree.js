// @ts-check
// What can be done to a call tree: pure functions from trees to trees. A tree is its nodes in depth-first order, the children
// of each largest first.

/** @typedef {{name: string, module: ?string, package: ?string, file: ?string, path: ?string, line: ?number, inApp: boolean}} Func */
/** Weights are microseconds; `all` is the sum over the roots, `seen` the samples.
 *  @typedef {{functions: Func[], func: ArrayLike<number>, depth: ArrayLike<number>, total: ArrayLike<number>, own: ArrayLike<number>,
 *  all: number, seen: number}} Tree */

/** What a function is called where it must not be taken for another of its name, for people and in addresses. @param {Func} func */
export function keyOf({ name, module, package: library, path, file }) {
  const where = module ?? library ?? path ?? file;
  return where === null ? name : `${name} in ${where}`;
}

/** Where each node begins, in microseconds from the left; and each node's parent, -1 for none. @param {Tree} tree */
export function layout(tree) {
  const many = tree.depth.length;
  const begin = new Float64Array(many), parent = new Int32Array(many).fill(-1);
  /** @type {number[]} */ const above = [];
  /** @type {number[]} */ const next = [0];
  for (let node = 0; node < many; node++) {
    const depth = tree.depth[node];
    above.length = depth;
    next.length = depth + 1;
    parent[node] = depth > 0 ? above[depth - 1] : -1;
    begin[node] = next[depth];
    next[depth] += tree.total[node];
    above[depth] = node;
    next[depth + 1] = begin[node];
  }
  return { begin, parent };
}

/** The node behind the last one below `node`. @param {Tree} tree @param {number} node */
export function end(tree, node) {
  let at = node + 1;
  while (at < tree.depth.length && tree.depth[at] > tree.depth[node]) at++;
  return at;
}

/** Stacks that are merged as they come. */
class Trie {
  constructor() {
    /** @type {Map<number, number>[]} */ this.children = [new Map()];
    /** @type {number[]} */ this.func = [-1];
    /** @type {number[]} */ this.own = [0];
    /** @type {number[]} */ this.total = [0];
  }

  /** @param {number} parent @param {number} func @returns {number} */
  child(parent, func) {
    const known = this.children[parent].get(func);
    if (known !== undefined) return known;
    const node = this.func.push(func) - 1;
    this.children[parent].set(func, node);
    this.children.push(new Map());
    this.own.push(0);
    this.total.push(0);
    return node;
  }

  /** The tree; `own` is what was added, totals are sums of it. @param {Tree} of what has the functions and the samples @returns {Tree} */
  tree(of) {
    // Children come behind their parents.
    for (let node = this.func.length - 1; node >= 0; node--) {
      this.total[node] += this.own[node];
      for (const child of this.children[node].values()) this.total[node] += this.total[child];
    }
    /** @type {number[]} */ const func = [], depth = [], total = [], own = [];
    /** @type {[number, number][]} */ const open = [[0, -1]];
    for (let top = open.pop(); top; top = open.pop()) {
      const [node, level] = top;
      if (node > 0) { func.push(this.func[node]); depth.push(level); total.push(this.total[node]); own.push(this.own[node]); }
      const below = [...this.children[node].values()].filter(child => this.total[child] > 0);
      below.sort((a, b) => this.total[a] - this.total[b] || this.func[b] - this.func[a]);
      for (const child of below) open.push([child, level + 1]);
    }
    return { functions: of.functions, func, depth, total, own, all: this.total[0] - this.own[0], seen: of.seen };
  }
}

/** A tree of other stacks: `place` says where a node comes to stand, given where its parent does; `undefined` leaves out the node and its time.
 *  @param {Tree} tree @param {(node: number, above: number, trie: Trie) => number | undefined} place */
function rebuilt(tree, place) {
  const trie = new Trie(), { parent } = layout(tree);
  /** @type {(number | undefined)[]} */ const at = new Array(tree.depth.length);
  for (let node = 0; node < at.length; node++) {
    at[node] = place(node, (parent[node] < 0 ? 0 : at[parent[node]]) ?? 0, trie);
    const where = at[node];
    if (where !== undefined) trie.own[where] += tree.own[node];
  }
  return trie.tree(tree);
}

/** Without the functions that are `hidden`: their time is their callers'. Time of stacks with no other function is left out.
 *  @param {Tree} tree @param {(func: number) => boolean} hidden */
export function hide(tree, hidden) {
  return rebuilt(tree, (node, above, trie) => hidden(tree.func[node]) ? above : trie.child(above, tree.func[node]));
}

/** Only what is at or below a function, which becomes the root. @param {Tree} tree @param {(func: number) => boolean} chosen */
export function focus(tree, chosen) {
  const { parent } = layout(tree), inside = new Uint8Array(tree.depth.length);
  return rebuilt(tree, (node, above, trie) => {
    const isBelow = parent[node] >= 0 && inside[parent[node]] === 1;
    inside[node] = isBelow || chosen(tree.func[node]) ? 1 : 0;
    return inside[node] ? trie.child(isBelow ? above : 0, tree.func[node]) : undefined;
  });
}

/** With calls of a function by itself, over however many others, as one. @param {Tree} tree @param {(func: number) => boolean} chosen */
export function collapse(tree, chosen) {
  const { parent } = layout(tree);
  /** Where the outermost call of a function stands, by function, along the path to each node. @type {(Map<number, number> | undefined)[]} */
  const outer = new Array(tree.depth.length);
  return rebuilt(tree, (node, above, trie) => {
    const known = parent[node] >= 0 ? outer[parent[node]] : undefined, func = tree.func[node];
    const again = chosen(func) ? known?.get(func) : undefined;
    const at = again ?? trie.child(above, func);
    outer[node] = chosen(func) && again === undefined ? new Map(known).set(func, at) : known;
    return at;
  });
}

/** Upside down: the roots took the time themselves, below them who called them. @param {Tree} tree */
export function inverted(tree) {
  const trie = new Trie(), { parent } = layout(tree);
  for (let node = 0; node < tree.depth.length; node++) {
    if (tree.own[node] > 0) climb(tree, parent, trie, node, tree.own[node]);
  }
  return trie.tree(tree);
}

/** Who calls a function, upside down: it is the root, with all of its time; recursion counts once.
 *  @param {Tree} tree @param {(func: number) => boolean} chosen */
export function callers(tree, chosen) {
  const trie = new Trie(), { parent } = layout(tree);
  for (let node = 0; node < tree.depth.length; ) {
    if (!chosen(tree.func[node])) { node++; continue; }
    climb(tree, parent, trie, node, tree.total[node]);
    node = end(tree, node);
  }
  return trie.tree(tree);
}

/** @param {Tree} tree @param {Int32Array} parent @param {Trie} trie @param {number} node @param {number} weight */
function climb(tree, parent, trie, node, weight) {
  let at = 0;
  for (let up = node; up >= 0; up = parent[up]) at = trie.child(at, tree.func[up]);
  trie.own[at] += weight;
}

/** The functions of a tree, hottest first. A function that calls itself counts once in its total.
 *  @param {Tree} tree @returns {{func: number, own: number, total: number}[]} */
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
  const rows = [...tree.functions.keys()].map(func => ({ func, own: own[func], total: total[func] })).filter(row => row.total > 0);
  return rows.sort((a, b) => b.own - a.own || b.total - a.total);
}

/** What a function calls and what calls it, by time, and both as trees. A call of itself is neither.
 *  @param {Tree} tree @param {(func: number) => boolean} chosen */
export function neighbours(tree, chosen) {
  /** @param {Tree} of */
  const second = of => Array.from(of.depth).flatMap((depth, node) => depth === 1 ? [{ func: of.func[node], total: of.total[node] }] : []);
  const below = focus(tree, chosen), above = callers(tree, chosen);
  return { total: above.all, own: below.own[0] ?? 0, callers: second(above), callees: second(below), above, below };
}
