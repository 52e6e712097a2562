// @ts-check
// Trees as tests write and read them: folded stacks, and one line a node. And the naive model of what is done to them: whole
// stacks with their weights, put together anew each time.

import { focus, parents } from "../../server/web/data/tree.js";

/** @typedef {import("../../server/web/data/tree.js").Tree} Tree */

/** @param {string} name @returns {import("../../server/web/data/tree.js").Func} */
export const func = name => ({ name, module: null, package: null, file: null, path: null, line: null, inApp: false });

/** @param {Record<string, number>} stacks `a;b;c` and microseconds @returns {Tree} */
export function tree(stacks) {
  const names = [...new Set(Object.keys(stacks).flatMap(stack => stack.split(";")))];
  const functions = names.map(func);
  /** @type {number[]} */ const of = [], depth = [], total = [], own = [];
  for (const [stack, us] of Object.entries(stacks)) {
    stack.split(";").forEach((name, level, all) => {
      of.push(names.indexOf(name)); depth.push(level); total.push(us); own.push(level === all.length - 1 ? us : 0);
    });
  }
  const all = Object.values(stacks).reduce((sum, us) => sum + us, 0);
  // Each stack is a root of its own so far; merged, they are a tree.
  return focus({ functions, func: of, depth, total, own, all, seen: 0 }, () => true);
}

/** @param {Tree} tree */
export function lines(tree) {
  const line = (/** @type {number} */ node) =>
    "  ".repeat(tree.depth[node]) + `${tree.functions[tree.func[node]].name} ${tree.total[node]}` + (tree.own[node] ? ` self ${tree.own[node]}` : "");
  return [`all ${tree.all}`, ...Array.from(tree.depth, (_, node) => line(node))];
}

/** Chooses a function by its name. @param {Tree} tree @param {string} name */
export const named = (tree, name) => (/** @type {number} */ func) => tree.functions[func].name === name;

/** Own weights of a stack: microseconds, samples, microseconds by state.
 *  @typedef {{names: string[], us: number, samples: number, states: Record<string, number>}} Stack */

/** Numbers from 0 until before 1, the same for the same seed. @param {number} seed */
export function dice(seed) {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

const STATES = ["on_cpu", "runnable", "sleeping"];

/** Stacks of few functions, so that they meet and recur. @param {number} seed @returns {Stack[]} */
export function random(seed) {
  const next = dice(seed), below = (/** @type {number} */ most) => Math.floor(next() * most);
  return Array.from({ length: 1 + below(40) }, () => {
    const states = Object.fromEntries(STATES.map(name => [name, below(3) === 0 ? 1 + below(50) : 0]));
    return { names: Array.from({ length: 1 + below(7) }, () => "abcdef"[below(6)]), us: Object.values(states).reduce((sum, us) => sum + us, 0), samples: 1 + below(4), states };
  }).filter(({ us }) => us > 0);
}

/** @typedef {{us: number, all: number, samples: number, allSamples: number, states: Record<string, number>, below: Map<string, Node>}} Node */

/** @returns {Node} */
const empty = () => ({ us: 0, all: 0, samples: 0, allSamples: 0, states: {}, below: new Map() });

/** A tree of stacks, as `full` writes one. @param {Stack[]} stacks @param {string[]} names in the order of the functions */
export function merged(stacks, names) {
  const root = empty();
  for (const { names, us, samples, states } of stacks.filter(({ names }) => names.length > 0)) {
    let at = root;
    for (const name of names) {
      let next = at.below.get(name);
      if (!next) at.below.set(name, next = empty());
      at = next;
      at.all += us;
      at.allSamples += samples;
    }
    at.us += us;
    at.samples += samples;
    for (const state of Object.keys(states)) at.states[state] = (at.states[state] ?? 0) + states[state];
  }
  /** @type {string[]} */ const out = [];
  const write = (/** @type {Node} */ node, /** @type {number} */ depth) => {
    const rows = [...node.below].filter(([, one]) => one.all > 0).sort((a, b) => b[1].all - a[1].all || names.indexOf(a[0]) - names.indexOf(b[0]));
    for (const [name, one] of rows) {
      out.push(row(depth, name, one.all, one.us, one.allSamples, one.samples, STATES.map(state => one.states[state] ?? 0)));
      write(one, depth + 1);
    }
  };
  write(root, 0);
  return out;
}

/** @param {number} depth @param {string} name @param {number} all @param {number} us @param {number} allSamples @param {number} samples @param {number[]} states */
const row = (depth, name, all, us, allSamples, samples, states) => `${"  ".repeat(depth)}${name} ${all} self ${us}, ${allSamples} samples self ${samples}, ${states.join(" ")}`;

/** All that a tree says of its nodes, a line each. @param {Tree} tree */
export function full({ functions, func, depth, total, own, samples, states }) {
  return Array.from(depth, (_, node) => row(depth[node], functions[func[node]].name, total[node], own[node], samples?.total[node] ?? 0, samples?.own[node] ?? 0,
    STATES.map(name => states?.find(state => state.name === name)?.own[node] ?? 0)));
}

/** The fast kind of tree, of these stacks. @param {Stack[]} stacks @param {string[]} names in the order of the functions @returns {Tree} */
export function treeOf(stacks, names) {
  /** @type {number[]} */ const func_ = [], depth = [], own = [], samples = [];
  /** @type {number[][]} */ const states = STATES.map(() => []);
  for (const stack of stacks) {
    stack.names.forEach((name, level) => {
      const isLeaf = level === stack.names.length - 1;
      func_.push(names.indexOf(name)); depth.push(level); own.push(isLeaf ? stack.us : 0); samples.push(isLeaf ? stack.samples : 0);
      STATES.forEach((state, at) => states[at].push(isLeaf ? stack.states[state] : 0));
    });
  }
  const all = stacks.reduce((sum, { us }) => sum + us, 0);
  return focus({
    functions: names.map(func), func: func_, depth, total: own, own, all, seen: 0, samples: { own: samples, total: samples }, states: STATES.map((name, at) => ({ name, own: states[at] })),
  }, () => true);
}

/** The stacks that a tree is made of. @param {Tree} tree @returns {Stack[]} */
export function stacksOf(tree) {
  const parent = parents(tree);
  return Array.from(tree.depth, (_, node) => {
    /** @type {string[]} */ const names = [];
    for (let at = node; at >= 0; at = parent[at]) names.unshift(tree.functions[tree.func[at]].name);
    return { names, us: tree.own[node], samples: tree.samples?.own[node] ?? 0, states: Object.fromEntries((tree.states ?? []).map(({ name, own }) => [name, own[node]])) };
  });
}
