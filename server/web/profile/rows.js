// @ts-check
// Long lists of rows of one height: only those in view are on the page. And texts with what a search found in them marked.

import { h } from "../vendor/preact.js";

/** Rows of call tree and tables, pixels. */
export const ROW = 24;
/** So many more are there above and below, for who scrolls fast. */
const MORE = 8;

/** Which rows are on the page. @param {number} top how far it is scrolled @param {number} high what can be seen @param {number} many */
export function inView(top, high, many) {
  const first = Math.max(0, Math.min(many, Math.floor(top / ROW) - MORE));
  return { first, last: Math.min(many, Math.max(first, Math.ceil((top + high) / ROW) + MORE)) };
}

/** How far to scroll so that a row is seen, below a head that stays. @param {number} row @param {number} top @param {number} high without the head */
export function revealed(row, top, high) {
  return Math.max(0, Math.min(row * ROW, Math.max(top, (row + 1) * ROW - high)));
}

/** Where keys take a row of a list. @param {string} key @param {number} at -1: none @param {number} many @param {number} high @returns {number | undefined} */
export function moved(key, at, many, high) {
  const page = Math.max(1, Math.floor(high / ROW) - 1);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: many - 1 }[key];
  return to === undefined || many === 0 ? undefined : Math.max(0, Math.min(many - 1, to));
}

/** A text, what is found in it marked. @param {string} text
 *  @param {(text: string) => [number, number][]} ranges @returns {import("../vendor/preact.js").Child[]} */
export function marked(text, ranges) {
  /** @type {import("../vendor/preact.js").Child[]} */ const parts = [];
  let at = 0;
  for (const [from, to] of ranges(text)) {
    parts.push(text.slice(at, from), h("mark", null, text.slice(from, to)));
    at = to;
  }
  return [...parts, text.slice(at)];
}
