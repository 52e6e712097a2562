// @ts-check
// What a person types to find functions. A search marks; it never takes anything away.

/** @typedef {import("./tree.js").Func} Func */
/** @typedef {import("./tree.js").Tree} Tree */

/** Longer patterns are cut: a search is typed. */
const LENGTH_MAX = 200;
/** In longer names the rest is not searched. */
const SEARCHED_MAX = 2000;

/** What a broken pattern lacks, by what browsers say of it. @type {[RegExp, string][]} */
const LACKS = [
  [/unterminated group|missing \)/i, "open bracket"], [/unterminated character class|missing \]/i, "open square bracket"],
    [/nothing to repeat/i, "nothing to repeat"],
  [/unmatched|unexpected \)/i, "closing bracket alone"], [/lone quantifier|quantifier bracket|incomplete quantifier/i, "brace alone"],
    [/\\ at end/i, "nothing behind \\"], [/range out of order/i, "range backwards"],
];

/** The functions that a search means: by name, module, file or package; without a pattern none. `error` says what a broken pattern lacks; `ranges` what is found
 *  in a text.
 *  @param {string} text @param {boolean} isPattern @returns {{test: (func: Func) => boolean, ranges: (text: string) => [number, number][], error: ?string}} */
export function search(text, isPattern) {
  const asked = text.slice(0, LENGTH_MAX), none = { test: () => false, ranges: () => [], error: null };
  if (asked === "") return none;
  try {
    const source = isPattern ? asked : asked.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), pattern = new RegExp(source, "iu"), every = new RegExp(source, "giu");
    return {
      test: func => [func.name, func.module, func.path ?? func.file, func.package].some(text => text != null && pattern.test(text.slice(0, SEARCHED_MAX))),
      ranges: text => [...text.slice(0, SEARCHED_MAX).matchAll(every)].flatMap(({ 0: found, index }) => found === "" ? [] : [[index, index + found.length]]),
      error: null,
    };
  } catch (error) {
    const words = error instanceof Error ? error.message : "";
    return { ...none, error: LACKS.find(([said]) => said.test(words))?.[1] ?? "not a pattern" };
  }
}

/** What a search finds in a tree: by function; which frames; and their time, nested ones once.
 *  @param {Tree} tree @param {(func: Func) => boolean} test */
export function found(tree, test) {
  const hits = Uint8Array.from(tree.functions, func => test(func) ? 1 : 0);
  /** @type {number[]} */ const nodes = [];
  let us = 0, outer = -1;
  for (let node = 0; node < tree.depth.length; node++) {
    if (outer >= 0 && tree.depth[node] <= outer) outer = -1;
    if (hits[tree.func[node]] === 0) continue;
    nodes.push(node);
    if (outer < 0) { us += tree.total[node]; outer = tree.depth[node]; }
  }
  return { hits, nodes, frames: nodes.length, us };
}

/** How many functions a search finds in one tree that are not in another. @param {Tree} tree @param {Tree} left @param {(func: Func) => boolean} test */
export function hidden(tree, left, test) {
  const of = (/** @type {Tree} */ { func }) => new Set(Array.from(func));
  const here = of(left);
  return [...of(tree)].filter(func => !here.has(func) && test(tree.functions[func])).length;
}
