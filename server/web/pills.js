// @ts-check
// What was done to the tree, in order: each is a pill that can be taken away. In the address they stand as `kind:name`.

import { collapse, focus, hide, keyOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** `name` is a function's key, or a package.
 *  @typedef {{kind: "hide" | "hide-package" | "focus" | "recursion", name: string}} Pill */

/** @type {Record<Pill["kind"], {label: string, apply: (tree: Tree, name: string) => Tree}>} */
const KINDS = {
  "hide": { label: "Hide", apply: (tree, name) => hide(tree, of(tree, name)) },
  "hide-package": { label: "Hide package", apply: (tree, name) => hide(tree, func => packageOf(tree.functions[func]) === name) },
  "focus": { label: "Focus", apply: (tree, name) => focus(tree, of(tree, name)) },
  "recursion": { label: "Collapse recursion", apply: (tree, name) => collapse(tree, of(tree, name)) },
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

/** @param {Pill} pill @returns {string} */
export const written = pill => `${pill.kind}:${pill.name}`;

/** The pill that a text means; `null`: none. @param {string} text @returns {?Pill} */
export function read(text) {
  const at = text.indexOf(":"), kind = text.slice(0, at), name = text.slice(at + 1);
  return at > 0 && Object.hasOwn(KINDS, kind) && name !== "" ? { kind: /** @type {Pill["kind"]} */ (kind), name } : null;
}
