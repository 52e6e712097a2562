// @ts-check
// What a person types to find functions. A search marks; it never takes anything away.

/** @typedef {import("./tree.js").Func} Func */
/** @typedef {import("./tree.js").Tree} Tree */

/** Longer patterns are cut: a search is typed. */
const LENGTH_MAX = 200;

/** The functions that a search means: by name, module, file or package; without a pattern none. `error` says what a broken pattern lacks.
 *  @param {string} text @param {boolean} isPattern @returns {{test: (func: Func) => boolean, error: ?string}} */
export function search(text, isPattern) {
  const asked = text.slice(0, LENGTH_MAX);
  if (asked === "") return { test: () => false, error: null };
  try {
    const pattern = new RegExp(isPattern ? asked : asked.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "iu");
    return { test: func => [func.name, func.module, func.path ?? func.file, func.package].some(text => text != null && pattern.test(text)), error: null };
  } catch (error) {
    return { test: () => false, error: error instanceof Error ? error.message : String(error) };
  }
}

/** What a search finds in a tree: by function; how many frames; and their time, nested ones once.
 *  @param {Tree} tree @param {(func: Func) => boolean} test */
export function found(tree, test) {
  const hits = Uint8Array.from(tree.functions, func => test(func) ? 1 : 0);
  let frames = 0, us = 0, outer = -1;
  for (let node = 0; node < tree.depth.length; node++) {
    if (outer >= 0 && tree.depth[node] <= outer) outer = -1;
    if (hits[tree.func[node]] === 0) continue;
    frames++;
    if (outer < 0) { us += tree.total[node]; outer = tree.depth[node]; }
  }
  return { hits, frames, us };
}
