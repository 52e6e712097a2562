// @ts-check
// Links to other pages, gone to without loading everything again; with a modifier they are the browser's own.

import { h } from "../vendor/preact.js";
import { addressOf } from "./address.js";

/** @typedef {import("./address.js").PageName} PageName */

/** What a click does that goes somewhere here. @param {() => void} go */
export function plainClick(go) {
  return (/** @type {MouseEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go();
  };
}

/** A link's address and what its click does. @param {PageName} page @param {string} search @param {(page: PageName, search: string) => void} go */
export function leadsTo(page, search, go) {
  return { href: addressOf(page, search), onClick: plainClick(() => go(page, search)) };
}

/** @param {PageName} page @param {string} search @param {import("../vendor/preact.js").Child} text @param {(page: PageName, search: string) => void} go
 *  @param {string} [more] its class @param {string} [words] its name where the text is the same as others' */
export function link(page, search, text, go, more = "", words) {
  return h("a", { ...leadsTo(page, search, go), class: more || undefined, "aria-label": words }, text);
}
