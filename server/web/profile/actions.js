// @ts-check
// What can be done with a function, by menu and by key.

import { packageOf } from "../data/pills.js";
import { keyOf } from "../data/tree.js";

/** @typedef {import("../data/tree.js").Func} Func */
/** @typedef {import("../data/pills.js").Pill} Pill */
/** @typedef {{add: (pill: Pill) => void, sandwich: (key: string) => void, copy: (func: Func) => void, source: (func: Func) => void, fold: () => void,
 *  isFolded: boolean}} Actions */

/** Name and place as a person passes them on. @param {Func} func */
export function asText(func) {
  const place = placeOf(func);
  return place ? `${func.name} ${place}` : func.name;
}

/** @param {Func} func @returns {string} "" where it is not known */
export function placeOf({ path, file, package: library, line }) {
  const place = file ?? path;
  return place ? place + (line ? `:${line}` : "") : library ?? "";
}

/** @param {Func} func @param {Actions} actions @returns {import("../shell/parts.js").Entry[]} */
export function entriesOf(func, { add, sandwich, copy, source, fold, isFolded }) {
  const name = keyOf(func), library = packageOf(func);
  return [
    { text: func.name },
    { text: "Focus", keys: "F", act: () => add({ kind: "focus", name }) },
    { text: "Hide function", keys: "H", act: () => add({ kind: "hide:fn", name }) },
    { text: library ? `Hide package ${library}` : "Hide package", keys: "⇧H", disabled: !library,
      act: () => { if (library) add({ kind: "hide:pkg", name: library }); } },
    { text: "Collapse recursion", keys: "R", act: () => add({ kind: "rec", name }) },
    { text: "Callers and callees", keys: "B", act: () => sandwich(name) }, "-",
    { text: "Copy name and place", keys: "C", act: () => copy(func) },
    { text: "Open the source", keys: "O", act: () => source(func) }, "-",
    { text: "Fold the common trunk", keys: "T", checked: isFolded, act: fold },
  ];
}

/** Does what a letter stands for. @param {KeyboardEvent} event @param {?Func} func the selected one
 *  @param {Actions} actions @returns {boolean} whether it stands for anything */
export function act(event, func, { add, sandwich, copy, source, fold }) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "t") { fold(); return true; }
  if (!func) return false;
  const name = keyOf(func), library = packageOf(func);
  switch (key) {
    case "f": add({ kind: "focus", name }); return true;
    case "h": if (!event.shiftKey) add({ kind: "hide:fn", name }); else if (library) add({ kind: "hide:pkg", name: library }); return true;
    case "r": add({ kind: "rec", name }); return true;
    case "b": sandwich(name); return true;
    case "c": copy(func); return true;
    case "o": source(func); return true;
    default: return false;
  }
}
