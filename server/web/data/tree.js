// @ts-check
// What can be done to a call tree: pure functions from trees to trees. A tree is its nodes in depth-first order, the children
// of each largest first, in columns: typed arrays, since there may be some hundred thousand nodes.

/** @typedef {{name: string, module: ?string, package: ?string, file: ?string, path: ?string, line: ?number, inApp: boolean}} Func */
/** Own microseconds by node in one state of the thread: `on_cpu`, `runnable`, `lock`, `sleeping`, `unknown`.
 *  @typedef {{name: string, own: ArrayLike<number>}} State */
/** Weights are microseconds; `all` is the sum over the roots, `seen` the samples that it was made of, also those of time that was left out since.
 *  `states`: nothing where they were not asked for. `samples` by node: nothing where they are not known. `isInverted`: the roots took the time.
 *  @typedef {{functions: Func[], func: ArrayLike<number>, depth: ArrayLike<number>, total: ArrayLike<number>, own: ArrayLike<number>,
 *  all: number, seen: number, states?: ?State[], samples?: ?{own: ArrayLike<number>, total: ArrayLike<number>}, isInverted?: boolean}} Tree */

/** What a function is called where it must not be taken for another of its name, for people and in addresses. @param {Func} func */
export function keyOf({ name, module, package: library, path, file }) {
  const where = module ?? library ?? path ?? file;
  return where === null ? name : `${name} in ${where}`;
}

/** Trees and lists of functions do not change: what was worked out for one is kept as long as it is. @template {object} T @template R @param {(of: T) => R} make @returns {(of: T) => R} */
export function once(make) {
  /** @type {WeakMap<T, R>} */ const made = new WeakMap();
  return of => {
    let result = made.get(of);
    if (result === undefined) { result = make(of); made.set(of, result); }
    return result;
  };
}

/** Keys of functions. @type {(functions: Func[]) => string[]} */
export const keysOf = once((/** @type {Func[]} */ functions) => functions.map(keyOf));

/** Each node's parent, -1 for none. @param {{depth: ArrayLike<number>}} tree */
export function parents({ depth }) {
  const parent = new Int32Array(depth.length);
  /** @type {number[]} */ const above = [];
  for (let node = 0; node < depth.length; node++) {
    parent[node] = depth[node] > 0 ? above[depth[node] - 1] : -1;
    above[depth[node]] = node;
  }
  return parent;
}

/** Where each node begins, in microseconds from the left; and each node's parent, -1 for none. @param {{depth: ArrayLike<number>, total: ArrayLike<number>}} tree */
export function layout(tree) {
  const parent = parents(tree), begin = new Float64Array(parent.length);
  /** Where the next node of each depth begins. @type {number[]} */ const next = [0];
  for (let node = 0; node < parent.length; node++) {
    const depth = tree.depth[node];
    begin[node] = next[depth];
    next[depth] += tree.total[node];
    next[depth + 1] = begin[node];
  }
  return { begin, parent };
}

/** The node behind the last one below `node`. @param {{depth: ArrayLike<number>}} tree @param {number} node */
export function end({ depth }, node) {
  let at = node + 1;
  while (at < depth.length && depth[at] > depth[node]) at++;
  return at;
}

/** Sums over each node and all below it. @param {Int32Array} parent @param {ArrayLike<number>} own */
export function sums(parent, own) {
  const total = new Float64Array(own);
  for (let node = parent.length - 1; node >= 0; node--) if (parent[node] >= 0) total[parent[node]] += total[node];
  return total;
}

/** Names from the root to each node as two numbers: they find the same frame in another tree. @param {Tree} tree @returns {[Uint32Array, Uint32Array]} */
function hashes(tree) {
  const parent = parents(tree), of = keysOf(tree.functions).map(textHash);
  const a = new Uint32Array(parent.length), b = new Uint32Array(parent.length);
  for (let node = 0; node < parent.length; node++) {
    const up = parent[node], hash = of[tree.func[node]];
    a[node] = mix((up < 0 ? 1 : a[up]) ^ hash);
    b[node] = mix(Math.imul(up < 0 ? 7 : b[up], 0x9e3779b1) + hash);
  }
  return [a, b];
}

/** FNV-1a over UTF-16. @param {string} text */
function textHash(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

/** @param {number} hash */
function mix(hash) {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

const hashesOf = once(hashes);

/** What a frame is called in addresses: a hash of the names from the root to it. @param {Tree} tree @param {number} node @returns {string} "" for none */
export function frameOf(tree, node) {
  if (node < 0) return "";
  const [a, b] = hashesOf(tree);
  return a[node].toString(36) + "-" + b[node].toString(36);
}

/** The node that is called so, -1 for none. @param {Tree} tree @param {string} frame */
export function nodeOf(tree, frame) {
  const [first, second] = frame.split("-").map(part => parseInt(part, 36));
  if (!(first >= 0 && second >= 0)) return -1;
  const [a, b] = hashesOf(tree);
  for (let node = a.indexOf(first); node >= 0; node = a.indexOf(first, node + 1)) if (b[node] === second) return node;
  return -1;
}

/** The numbers of a tree that are summed by node: own time, own samples, own time in each state. @param {Tree} tree */
function columns(tree) {
  return [tree.own, ...(tree.samples ? [tree.samples.own] : []), ...(tree.states ?? []).map(({ own }) => own)];
}

const FIRST_ROOM = 1024;

/** Stacks that are merged as they come. Node 0 is above the roots. */
class Trie {
  /** @param {number} many columns that are summed */
  constructor(many) {
    this.length = 1;
    this.func = new Int32Array(FIRST_ROOM);
    this.parent = new Int32Array(FIRST_ROOM);
    this.sums = Array.from({ length: many }, () => new Float64Array(FIRST_ROOM));
    this.parent[0] = -1;
    this.func[0] = -1;
    /** Nodes by parent and function, open addressing; 0 is free. */
    this.places = new Int32Array(2 * FIRST_ROOM);
  }

  /** @param {number} parent @param {number} func @returns {number} */
  child(parent, func) {
    let at = this.place(parent, func);
    const known = this.places[at];
    if (known !== 0) return known;
    if (this.length === this.func.length) { this.grow(); at = this.place(parent, func); }
    const node = this.length++;
    this.places[at] = node;
    this.func[node] = func;
    this.parent[node] = parent;
    return node;
  }

  /** Where a node stands among the places, or would. @param {number} parent @param {number} func */
  place(parent, func) {
    const { places } = this, mask = places.length - 1;
    let at = mix(Math.imul(parent, 0x9e3779b1) + func) & mask;
    for (let node = places[at]; node !== 0 && (this.func[node] !== func || this.parent[node] !== parent); node = places[at]) at = at + 1 & mask;
    return at;
  }

  grow() {
    const room = this.func.length * 2;
    const longer = (/** @type {Int32Array} */ old) => { const next = new Int32Array(room); next.set(old); return next; };
    this.func = longer(this.func);
    this.parent = longer(this.parent);
    this.sums = this.sums.map(old => { const next = new Float64Array(room); next.set(old); return next; });
    this.places = new Int32Array(2 * room);
    for (let node = 1; node < this.length; node++) this.places[this.place(this.parent[node], this.func[node])] = node;
  }

  /** The tree; totals are sums of what was added. @param {Tree} of what has the functions and the samples @param {Partial<Tree>} [more] @returns {Tree} */
  tree(of, more = {}) {
    const { length, func, parent } = this, own = this.sums[0];
    // Children come behind their parents.
    const total = sums(parent.subarray(0, length), own.subarray(0, length));
    const order = this.order(total), many = order.length, depths = new Int32Array(length), depth = new Int32Array(many);
    depths[0] = -1;
    for (let at = 0; at < many; at++) depth[at] = depths[order[at]] = depths[parent[order[at]]] + 1;
    const funcs = new Int32Array(many);
    for (let at = 0; at < many; at++) funcs[at] = func[order[at]];
    const column = (/** @type {ArrayLike<number>} */ all) => { const out = new Float64Array(many); for (let at = 0; at < many; at++) out[at] = all[order[at]]; return out; };
    const counted = of.samples ? this.sums[1] : null, first = of.samples ? 2 : 1;
    return {
      functions: of.functions, func: funcs, depth, total: column(total), own: column(own), all: total[0] - own[0], seen: of.seen,
      states: of.states ? of.states.map(({ name }, at) => ({ name, own: column(this.sums[first + at]) })) : null,
      samples: counted ? { own: column(counted), total: column(sums(parent.subarray(0, length), counted.subarray(0, length))) } : null,
      ...more,
    };
  }

  /** Nodes that took time, depth first, siblings by their time, largest first. @param {Float64Array} total */
  order(total) {
    const { length, func, parent } = this;
    // The children of each node side by side: those of `node` from first[node] to first[node + 1].
    const first = new Int32Array(length + 1), children = new Int32Array(length);
    let many = 0;
    for (let node = 1; node < length; node++) if (total[node] > 0) { first[parent[node] + 1]++; many++; }
    for (let node = 0; node < length; node++) first[node + 1] += first[node];
    const next = first.slice();
    for (let node = 1; node < length; node++) if (total[node] > 0) children[next[parent[node]]++] = node;
    const bySize = (/** @type {number} */ a, /** @type {number} */ b) => total[b] - total[a] || func[a] - func[b];
    const out = new Int32Array(many), open = new Int32Array(many + 1);
    let top = 0, at = 0;
    for (let node = 0; ;) {
      const from = first[node], to = first[node + 1];
      if (to - from === 2 && bySize(children[from], children[from + 1]) > 0) [children[from], children[from + 1]] = [children[from + 1], children[from]];
      else if (to - from > 2) children.subarray(from, to).sort(bySize);
      for (let child = to - 1; child >= from; child--) open[top++] = children[child];
      if (top === 0) return out;
      node = out[at++] = open[--top];
    }
  }
}

/** A tree of other stacks: `place` says where a node comes to stand, given where its parent does; `undefined` leaves out the node and its time.
 *  @param {Tree} tree @param {(node: number, above: number, trie: Trie, parent: number) => number | undefined} place */
function rebuilt(tree, place) {
  const added = columns(tree), trie = new Trie(added.length), parent = parents(tree);
  const at = new Int32Array(parent.length);
  for (let node = 0; node < at.length; node++) {
    const up = parent[node], where = place(node, up < 0 ? 0 : Math.max(0, at[up]), trie, up);
    at[node] = where ?? -1;
    if (where !== undefined) for (let column = 0; column < added.length; column++) trie.sums[column][where] += added[column][node];
  }
  return trie.tree(tree, { isInverted: tree.isInverted });
}

/** Without the functions that are `hidden`: their time is their callers'. Time of stacks with no other function is left out.
 *  @param {Tree} tree @param {(func: number) => boolean} hidden */
export function hide(tree, hidden) {
  return rebuilt(tree, (node, above, trie) => hidden(tree.func[node]) ? above : trie.child(above, tree.func[node]));
}

/** Only what is at or below a function, which becomes the root. @param {Tree} tree @param {(func: number) => boolean} chosen */
export function focus(tree, chosen) {
  const inside = new Uint8Array(tree.depth.length);
  return rebuilt(tree, (node, above, trie, parent) => {
    const isBelow = parent >= 0 && inside[parent] === 1;
    inside[node] = isBelow || chosen(tree.func[node]) ? 1 : 0;
    return inside[node] ? trie.child(isBelow ? above : 0, tree.func[node]) : undefined;
  });
}

/** With calls of a function by itself, over however many others, as one. @param {Tree} tree @param {(func: number) => boolean} chosen */
export function collapse(tree, chosen) {
  /** Where the outermost call of a function stands, by function, along the path to each node. @type {(Map<number, number> | undefined)[]} */
  const outer = new Array(tree.depth.length);
  return rebuilt(tree, (node, above, trie, parent) => {
    const known = parent >= 0 ? outer[parent] : undefined, func = tree.func[node];
    const again = chosen(func) ? known?.get(func) : undefined;
    const at = again ?? trie.child(above, func);
    outer[node] = chosen(func) && again === undefined ? new Map(known).set(func, at) : known;
    return at;
  });
}

/** Only the time on a CPU, where states are known. @param {Tree} tree @returns {Tree} */
export function onCpu(tree) {
  const state = tree.states?.find(({ name }) => name === "on_cpu");
  const own = state?.own ?? new Float64Array(tree.depth.length);
  // How many samples that was is not known.
  return rebuilt({ ...tree, own, states: [{ name: "on_cpu", own }], samples: null }, (node, above, trie) => trie.child(above, tree.func[node]));
}

/** How many frames from the root on hold all of the time, one called by the other, with none of their own. @param {Tree} tree */
export function trunk({ depth, total, own, all }) {
  let many = 0;
  while (many < depth.length && depth[many] === many && total[many] === all && own[many] === 0) many++;
  return many;
}

/** Upside down: the roots took the time themselves, below them who called them. @param {Tree} tree */
export function inverted(tree) {
  const added = columns(tree), trie = new Trie(added.length), parent = parents(tree);
  for (let node = 0; node < parent.length; node++) if (tree.own[node] > 0) climb(tree, parent, trie, node, added);
  return trie.tree(tree, { isInverted: true });
}

/** Who calls a function, upside down: it is the root, with all of its time; recursion counts once.
 *  @param {Tree} tree @param {(func: number) => boolean} chosen */
export function callers(tree, chosen) {
  const parent = parents(tree), added = columns(tree).map(column => sums(parent, column)), trie = new Trie(added.length);
  for (let node = 0; node < parent.length; ) {
    if (!chosen(tree.func[node])) { node++; continue; }
    climb(tree, parent, trie, node, added);
    node = end(tree, node);
  }
  return trie.tree(tree, { isInverted: true });
}

/** @param {Tree} tree @param {Int32Array} parent @param {Trie} trie @param {number} node @param {ArrayLike<number>[]} added */
function climb(tree, parent, trie, node, added) {
  let at = 0;
  for (let up = node; up >= 0; up = parent[up]) at = trie.child(at, tree.func[up]);
  for (let column = 0; column < added.length; column++) trie.sums[column][at] += added[column][node];
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
