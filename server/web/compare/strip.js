// @ts-check
// Which view, clock and measure is shown, the search, and what the colours mean.

import { h } from "../vendor/preact.js";
import { difference } from "../data/colour.js";
import { icon } from "../shell/icons.js";
import { Switch } from "../shell/parts.js";

/** @typedef {import("./address.js").Shown} Shown */
/** `canCount`: requests are known; `error` is what the search lacks; `next` goes to another frame that it finds.
 *  @typedef {{shown: Shown, measure: Shown["measure"], isCpu: boolean, canCount: boolean, error: ?string, next: (way: 1 | -1) => void,
 *  set: (change: Partial<Shown>, isSmall?: boolean) => void}} Props */

/** @type {[Shown["view"], string][]} */
const VIEWS = [["difference", "Difference"], ["both", "Side by side"], ["b", "Only in B"], ["a", "Only in A"]];
/** @type {[string, string][]} */
const CLOCKS = [["wall", "Wall clock"], ["cpu", "On CPU"]];
/** Shares of the largest change, each way. */
const SCALE = [-1, -0.6, -0.3, 0, 0.3, 0.6, 1];

/** @param {Props} props */
export function Strip(props) {
  const { shown, measure, isCpu, canCount, set } = props;
  /** @type {[Shown["measure"], string][]} */ const all = [["share", isCpu ? "Share of CPU" : "Share of time"], ["request", "Per request"], ["cores", "Absolute"]];
  const choose = (/** @type {string} */ name) => set({ measure: /** @type {Shown["measure"]} */ (name) });
  return h("div", { class: "strip" },
    tabs(shown.view, view => set({ view })),
    h("span", { class: "push" }),
    h(Switch, { name: "Clock", chosen: isCpu ? "cpu" : "wall", options: CLOCKS, choose: clock => set({ clock: /** @type {Shown["clock"]} */ (clock) }) }),
    h(Switch, { name: "Measure", chosen: measure, options: all.filter(([name]) => name !== "request" || canCount), choose }),
    find(props), scale());
}

/** @param {Shown["view"]} chosen @param {(view: Shown["view"]) => void} choose */
function tabs(chosen, choose) {
  const key = (/** @type {any} */ event) => {
    const at = VIEWS.findIndex(([view]) => view === chosen), last = VIEWS.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at + last, Home: 0, End: last }[/** @type {string} */ (event.key)];
    if (to === undefined) return;
    event.preventDefault();
    choose(VIEWS[to % VIEWS.length][0]);
    event.currentTarget.children[to % VIEWS.length].focus();
  };
  return h("div", { role: "tablist", "aria-label": "View", onKeyDown: key }, VIEWS.map(([view, text]) => h("button", {
    type: "button", key: view, id: `tab-${view}`, role: "tab", "aria-selected": String(view === chosen), "aria-controls": "compared",
    tabIndex: view === chosen ? 0 : -1, onClick: () => choose(view),
  }, text)));
}

/** @param {Props} props */
function find({ shown, error, next, set }) {
  const key = (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); } };
  return h("span", { class: "find" }, icon("search"), h("input", {
    id: "search", type: "search", placeholder: "Search name or file", "aria-label": "Search name or file", value: shown.q, "aria-invalid": String(error !== null),
    onInput: (/** @type {any} */ event) => set({ q: event.currentTarget.value }, true), onKeyDown: key,
  }), error ? h("span", { class: "trouble-words" }, error) : null,
  h("button", { type: "button", "aria-pressed": String(shown.rx), title: "Regular expression", "aria-label": "Regular expression", onClick: () => set({ rx: !shown.rx }, true) }, ".*"));
}

function scale() {
  const fill = (/** @type {number} */ share, /** @type {boolean} */ isDark) => difference(share, 0, 1, isDark).fill;
  return h("span", { class: "scale", "aria-hidden": "true" }, h("span", { class: "less" }, "less in B"),
    h("span", { class: "swatches" }, SCALE.map(share => h("span", { key: share, style: { background: `light-dark(${fill(share, false)}, ${fill(share, true)})` } }))),
    h("span", { class: "more" }, "more in B"));
}
