// @ts-check
// What was done to the tree, in order: each is a pill that can be taken away. In the address they stand as `kind:name`.

import { collapse, focus, hide, keyOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** `name` is a function's key, or a package; of a trunk "0": it is not folded.
 *  @typedef {{kind: "hide:fn" | "hide:pkg" | "focus" | "rec" | "trunk", name: string}} Pill */

/** @type {Record<Pill["kind"], {label: string, apply: (tree: Tree, name: string) => Tree}>} */
const KINDS = {
  "hide:fn": { label: "Hide", apply: (tree, name) => hide(tree, of(tree, name)) },
  "hide:pkg": { label: "Hide package", apply: (tree, name) => hide(tree, func => packageOf(tree.functions[func]) === name) },
  "focus": { label: "Focus", apply: (tree, name) => focus(tree, of(tree, name)) },
  "rec": { label: "Collapse recursion", apply: (tree, name) => collapse(tree, of(tree, name)) },
  // Folding takes no time away: that is the graph's.
  "trunk": { label: "Trunk", apply: tree => tree },
};

/** Chooses a function. @param {Tree} tree @param {string} key as `keyOf` says it @returns {(func: number) => boolean} */
export function of(tree, key) {
  const chosen = tree.functions.map(func => keyOf(func) === key);
  return func => chosen[func];
}

/** Whose code it is: a library or program; else the first part of the module. @param {import("./tree.js").Func} func */
export function packageOf(func) {
  return func.package ?? func.module?.split(/[.:/]/)[0] ?? null;
}

/** @param {Tree} tree @param {Pill[]} pills */
export function applied(tree, pills) {
  return pills.reduce((tree, pill) => KINDS[pill.kind].apply(tree, pill.name), tree);
}

/** @param {Pill} pill */
export const label = pill => KINDS[pill.kind].label;

/** @param {Pill} pill */
export const nameOf = pill => pill.kind === "trunk" ? "not folded" : pill.name;

/** @param {Pill} pill @returns {string} */
export const written = pill => `${pill.kind}:${pill.name}`;

/** The pill that a text means; `null`: none. @param {string} text @returns {?Pill} */
export function read(text) {
  const kind = /** @type {Pill["kind"][]} */ (Object.keys(KINDS)).find(kind => text.startsWith(kind + ":")), name = kind ? text.slice(kind.length + 1) : "";
  return kind && name !== "" && (kind !== "trunk" || name === "0") ? { kind, name } : null;
}
