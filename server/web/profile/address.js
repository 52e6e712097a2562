// @ts-check
// What the profile page shows, as its address says it: whoever is given the address sees the same.

import { read as pill, written } from "../data/pills.js";
import { codec, flag, list, one, PLACE, text, texts, whole } from "../shell/address.js";

/** @typedef {"flame" | "time" | "inverted" | "sandwich" | "tree" | "functions"} View */

/** @type {View[]} */
export const VIEWS = ["flame", "time", "inverted", "sandwich", "tree", "functions"];

/** `w0` and `w1` are the chosen window within the span, microseconds since 1970; `tid` the chosen threads, none for all of them; `mk` the
 *  functions and blocks that programs noted, within which alone is looked; `fx` what was done to the tree,
 *  in order;
 *  `f` the selected function's key, `s` its frame, `z` the frame that fills the width (frames as `frameOf` calls them); `sort` the column by which rows stand. */
const address = codec({
  ...PLACE, tid: texts(), mk: texts(), w0: whole(), w1: whole(), view: one(VIEWS), clock: one(/** @type {const} */ (["wall", "cpu"])), q: text(), rx: flag(),
  colour: text("kind"), up: flag(), sort: text(), fx: list(pill, written), f: text(), s: text(), z: text(),
});

/** @typedef {typeof address.first} Shown */

/** What a new page shows. @type {Shown} */
export const FIRST = address.first;

export const { write } = address;

/** A window that does not begin before it ends is none. @param {string} search `?a=b&...` @returns {Shown} */
export function read(search) {
  const shown = address.read(search);
  return Number(shown.w0) < Number(shown.w1) && shown.w0 !== "" ? shown : { ...shown, w0: "", w1: "" };
}
