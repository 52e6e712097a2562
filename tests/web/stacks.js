// @ts-check
// Trees as tests write and read them: folded stacks, and one line a node.

import { focus } from "../../server/web/tree.js";

/** @param {Record<string, number>} stacks `a;b;c` and microseconds @returns {import("../../server/web/tree.js").Tree} */
export function tree(stacks) {
  const names = [...new Set(Object.keys(stacks).flatMap(stack => stack.split(";")))];
  const functions = names.map(name => ({ name, module: null, package: null, file: null, path: null, line: null, inApp: false }));
  /** @type {number[]} */ const func = [], depth = [], total = [], own = [];
  for (const [stack, us] of Object.entries(stacks)) {
    stack.split(";").forEach((name, level, all) => {
      func.push(names.indexOf(name)); depth.push(level); total.push(us); own.push(level === all.length - 1 ? us : 0);
    });
  }
  const all = Object.values(stacks).reduce((sum, us) => sum + us, 0);
  // Each stack is a root of its own so far; merged, they are a tree.
  return focus({ functions, func, depth, total, own, all, seen: 0 }, () => true);
}

/** @param {import("../../server/web/tree.js").Tree} tree */
export function lines(tree) {
  const line = (/** @type {number} */ node) =>
    "  ".repeat(tree.depth[node]) + `${tree.functions[tree.func[node]].name} ${tree.total[node]}` + (tree.own[node] ? ` self ${tree.own[node]}` : "");
  return [`all ${tree.all}`, ...Array.from(tree.depth, (_, node) => line(node))];
}

/** Chooses a function by its name. @param {import("../../server/web/tree.js").Tree} tree @param {string} name */
export const named = (tree, name) => (/** @type {number} */ func) => tree.functions[func].name === name;
