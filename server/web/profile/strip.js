// @ts-check
// The strips above the graph: views, search, colours; and the pills, what was done to the tree.

import { h } from "../vendor/preact.js";
import { legend, MODES, RULE } from "../data/colour.js";
import { count, duration, percent } from "../data/format.js";
import { label, nameOf } from "../data/pills.js";
import { shownState, STATE_NAMES } from "../data/states.js";
import { isDark } from "../shell/theme.js";
import { icon } from "../shell/icons.js";
import { Menu } from "../shell/parts.js";
import { VIEWS } from "./address.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./address.js").View} View */

/** @type {Record<View, string>} */
export const VIEW_NAMES = { flame: "Flame graph", time: "Time order", inverted: "Inverted", sandwich: "Sandwich", tree: "Call tree", functions: "Functions" };

/** `result`: how many frames match, and their share. @typedef {{shown: Shown, error: ?string, result: ?{frames: number, us: number, all: number},
 *  isPanel: boolean, isFolded: boolean, change: (change: Partial<Shown>, isSmall?: boolean) => void,
 *  next: (way: 1 | -1) => void, togglePanel: () => void, fold: () => void, leave: () => void}} Props */

/** @param {Props} props */
export function Views(props) {
  const { shown, change, isPanel, togglePanel } = props;
  const key = (/** @type {KeyboardEvent} */ event) => {
    const at = VIEWS.indexOf(shown.view), to = { ArrowRight: at + 1, ArrowLeft: at - 1 + VIEWS.length, Home: 0, End: VIEWS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    change({ view: VIEWS[to % VIEWS.length] });
    document.getElementById(`view-${VIEWS[to % VIEWS.length]}`)?.focus();
  };
  return h("div", { class: "views" },
    h("div", { role: "tablist", "aria-label": "View", onKeyDown: key }, VIEWS.map((view, at) => h("button", {
      key: view, id: `view-${view}`, type: "button", role: "tab", tabIndex: view === shown.view ? 0 : -1, "aria-selected": String(view === shown.view),
      "aria-controls": "view", title: `${VIEW_NAMES[view]} (${at + 1})`, onClick: () => change({ view }),
    }, VIEW_NAMES[view]))),
    h("span", { class: "push" }), find(props), colours(props),
    h("button", { type: "button", class: "square", "aria-label": "Details", title: "Details", "aria-pressed": String(isPanel), onClick: togglePanel },
      icon("panel")));
}

/** @param {Props} props */
function find({ shown, error, result, change, next, leave }) {
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); if (shown.q) change({ q: "" }, true); else leave(); }
  };
  return h("span", { class: "find", role: "search" }, icon("search"),
    h("input", {
      id: "search", type: "text", spellcheck: false, autocomplete: "off", placeholder: "Search name or file", "aria-label": "Search name or file", value: shown.q,
      "aria-invalid": error ? "true" : undefined, "aria-describedby": "search-result",
      onInput: (/** @type {any} */ event) => change({ q: event.currentTarget.value }, true), onKeyDown: key,
    }),
    h("span", { id: "search-result", class: error ? "trouble-words" : "found" },
      error ?? (result ? `${count(result.frames)} · ${percent(result.us, result.all)}` : "")),
    shown.q === "" ? h("kbd", { "aria-hidden": "true" }, "Ctrl F") : [
      h("button", { key: "up", type: "button", class: "quiet", "aria-label": "Previous match", title: "Previous match (Shift Enter)", onClick: () => next(-1) },
        icon("up")),
      h("button", { key: "down", type: "button", class: "quiet", "aria-label": "Next match", title: "Next match (Enter)", onClick: () => next(1) },
        icon("down"))],
    h("button", { type: "button", class: "quiet pattern", "aria-pressed": String(shown.rx), "aria-label": "Regular expression", title: "Regular expression",
      onClick: () => change({ rx: !shown.rx }) }, ".*"));
}

/** @param {Shown} shown */
export const modeOf = shown => MODES.find(([mode]) => mode === shown.colour) ?? MODES[0];

/** @param {Props} props */
function colours({ shown, change, isFolded, fold }) {
  const [, text] = modeOf(shown), dark = isDark();
  return h(Menu, { name: `Colour: ${text.toLowerCase()}`, class: "colour-menu", right: true,
    label: [h("span", { class: "kind-dots", "aria-hidden": "true" }, ["app", "library", "native", "kernel"].map(band => swatch(band, dark))),
    h("span", { class: "long" }, `Colour: ${text.toLowerCase()}`)], entries: () => [
    { text: "Colour frames by" },
    ...MODES.map(([mode, text]) => ({ text, checked: mode === shown.colour, act: () => change({ colour: mode }) })), "-",
    // The legend of kinds has no room in the strip of a narrow page.
    .../** @type {import("../shell/parts.js").Entry[]} */ (innerWidth < 1280 && shown.colour === "kind"
      ? [...legend(dark).map(({ band, words }) => ({ text: words, more: swatch(band, dark) })), "-"] : []),
    { text: "Grow upwards", checked: shown.up, act: () => change({ up: !shown.up }) },
    { text: "Fold the common trunk", keys: "T", checked: isFolded, act: fold },
  ] });
}

/** @param {string} band @param {boolean} dark */
function swatch(band, dark) {
  return h("span", { key: band, class: "dot", style: { background: legend(dark).find(entry => entry.band === band)?.dot ?? "" } });
}

/** @typedef {{shown: Shown, all: ?number, before: number, samples: ?number, threads: string, trouble: string, mode: string,
 *  remove: (at: number) => void,
 *  entries: () => import("../shell/parts.js").Entry[]}} PillProps */

/** @param {PillProps} props */
export function Pills({ shown, all, before, samples, threads, trouble, mode, remove, entries }) {
  const words = [all !== null && all !== before ? ` of ${duration(before)}` : "",
    ` ${shown.clock === "cpu" ? "on CPU" : "wall"} · ${samples === null ? "" : `${count(samples)} samples · `}`];
  const sum = all === null ? "…" : [h("b", null, duration(all)), words, h("bdi", null, threads)];
  return h("div", { class: "pills" },
    trouble ? h("span", { class: "trouble-words", role: "alert" }, trouble)
      : h("span", { class: "sum" }, sum),
    shown.fx.map((pill, at) => {
      const remover = `Remove: ${label(pill).toLowerCase()} ${nameOf(pill)}`;
      return h("span", { class: "pill", key: `${at} ${pill.name}`, title: pill.name.slice(0, 400) }, h("b", null, label(pill)),
        h("bdi", { class: "clip" }, nameOf(pill).slice(0, 200)),
        h("button", { type: "button", "aria-label": remover.slice(0, 400), onClick: () => remove(at) }, icon("close")));
    }),
    h(Menu, { name: "Transform", class: "transform", arrow: false, label: [icon("plus"), h("span", null, "Transform")], entries }),
    legendOf(mode));
}

/** What the colours mean. @param {string} mode */
function legendOf(mode) {
  const entries = mode === "kind" ? legend(isDark()).map(({ words, dot, sign }) => ({ words, colour: dot, sign }))
    : mode === "state" ? STATE_NAMES.map(shownState).map(({ words, colour }) => ({ words, colour: `var(--${colour})`, sign: 0 })) : [];
  if (mode === "self") return h("span", { class: "legend" }, isDark() ? "the brighter, the more self time" : "the darker, the more self time");
  return entries.length === 0 ? null : h("span", { class: "legend", role: "group", "aria-label": "What the colours mean" },
    entries.map(({ words, colour, sign }) =>
    h("span", { key: words }, h("span", { class: "dot" + (sign & RULE ? " rule" : ""), "aria-hidden": "true", style: { background: colour } }), words)));
}
