// @ts-check
// Pictures of 16 by 16 on controls, drawn with the text's colour. Each stands beside a word or on a control with a name.

import { h } from "../vendor/preact.js";

/** @type {Record<string, string>} */
const PATHS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5l3.5 3.5",
  zoom: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5l3.5 3.5M7 5v4M5 7h4",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.5V8l2.5 1.5",
  down: "M4.5 6.5 8 10l3.5-3.5",
  right: "M6.5 4.5 10 8l-3.5 3.5",
  up: "M4.5 9.5 8 6l3.5 3.5",
  left: "M9.5 4.5 6 8l3.5 3.5",
  close: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  sun: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1",
  help: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M6.3 6.3a1.8 1.8 0 1 1 2.6 1.6c-.6.3-.9.7-.9 1.3M8 11.2v.3",
  compare: "M2.5 5.5h10M10 3l2.5 2.5L10 8M13.5 10.5h-10M6 8l-2.5 2.5L6 13",
  export: "M8 2.5V10M5 7l3 3 3-3M3 12.5h10",
  link: "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2-2a2.6 2.6 0 0 0-3.7-3.7l-.6.6M9.2 6.8a2.6 2.6 0 0 0-3.7 0l-2 2a2.6 2.6 0 0 0 3.7 3.7l.6-.6",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  panel: "M2.5 3.5h11v9h-11zM10 3.5v9",
  plus: "M8 3.5v9M3.5 8h9",
  check: "M3.5 8.5l3 3 6-7",
  warn: "M8 2.5 14 13H2zM8 6.5v3M8 11.2v.3",
  open: "M6.5 3.5h-3v9h9v-3M9 3.5h3.5V7M12.5 3.5 7.5 8.5",
  bars: "M2.5 4.5h11M2.5 8h7M2.5 11.5h4",
  filter: "M2.5 4.5h11M4.5 8h7M6.5 11.5h3",
};

/** @param {keyof typeof PATHS | string} name */
export function icon(name) {
  return h("svg", { class: "icon", width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, h("path", { d: PATHS[name] }));
}
