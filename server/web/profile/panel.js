// @ts-check
// What is known of the selected function: its time, what its threads did in it, its lines, who calls it, what it calls, and what can be done with it.

import { Component, h } from "../vendor/preact.js";
import { bandOf, isUnnamed, labelOf, wordsOf } from "../data/colour.js";
import { count, duration, percent } from "../data/format.js";
import { platformName } from "../data/services.js";
import { shownState } from "../data/states.js";
import { keyOf } from "../data/tree.js";
import { icon } from "../shell/icons.js";
import { bar, chip, Menu, Parts } from "../shell/parts.js";
import { entriesOf, placeOf } from "./actions.js";
import { kindDot } from "./calltree.js";

const ROWS = 8;
const WIDE = { first: 328, least: 264, most: 520 };
const KEY = "panel-width";

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {{line: ?number, us: number}} Line */
/** `lines` null: not known yet. `sources`: there is a template for links to the source.
 *  @typedef {{tree: Tree, func: ?import("../data/tree.js").Func, chosen: string, around: ?ReturnType<typeof import("../data/tree.js").neighbours>,
 *  platforms: string[], ticks: ?number, lines: ?Line[], hasPills: boolean, href: ?string,
 *  actions: import("./actions.js").Actions, select: (key: string) => void, setTemplate: () => void}} Props */

/** @param {Props} props */
export function Panel(props) {
  const { tree, func, chosen, around, platforms, actions, href, setTemplate, select } = props;
  if (!func || !around || around.total === 0) {
    return h("p", { class: "hint" }, chosen === "" ? "Select a frame to see who calls it, what it calls, and what it waits for."
      : [h("bdi", null, chosen), " is not in what is shown."]);
  }
  const { total, own, callers, callees, below } = around, place = placeOf(func), seen = below.samples?.total[0];
  const action = (/** @type {string} */ text, /** @type {string} */ key, /** @type {() => void} */ act) =>
    h("button", { type: "button", onClick: act }, text, h("kbd", { "aria-hidden": "true" }, key));
  return h("div", { class: "panel" },
    h("section", { class: "what" },
      h("div", { class: "title" }, kindDot(func), h("h2", { dir: "auto", title: func.name.slice(0, 400) }, labelOf(func).slice(0, 400)),
        h("button", { type: "button", class: "quiet square push", "aria-label": "Copy name and place", title: "Copy name and place (C)",
          onClick: () => actions.copy(func) }, icon("copy"))),
      h("p", { class: "place mono" }, place === "" ? "no file is known" : href
        ? h("a", { href, target: "_blank", rel: "noreferrer noopener", dir: "auto" }, place.slice(0, 1000), icon("open"))
        : func.path || func.file ? h("button", { type: "button", class: "link", dir: "auto", title: "Say where the source is", onClick: setTemplate },
          place.slice(0, 1000), icon("open")) : h("span", { dir: "auto" }, place.slice(0, 1000))),
      h("p", { class: "chips" }, chip(wordsOf(bandOf(func))), platforms.length === 1 ? chip(platformName(platforms[0])) : null,
        isUnnamed(func) ? chip("no symbols", "warn") : null,
        href ? h("button", { type: "button", class: "link small", onClick: setTemplate }, "source address") : null),
      h("p", { class: "actions" }, action("Focus", "F", () => actions.add({ kind: "focus", name: chosen })),
        action("Hide", "H", () => actions.add({ kind: "hide:fn", name: chosen })),
        action("Sandwich", "B", () => actions.sandwich(chosen)), h(Menu,
          { name: "More", right: true, arrow: false, label: ["More", h("kbd", { "aria-hidden": "true" }, ".")],
          entries: () => entriesOf(func, actions).slice(1) }))),
    h("section", null,
      h("div", { class: "key-figures" }, figure(duration(own), `self, ${percent(own, tree.all)}`), figure(duration(total), `total, ${percent(total, tree.all)}`),
        seen !== undefined ? figure(count(seen), "samples") : props.ticks !== null ? figure(count(props.ticks), "ticks") : null),
      states(below)),
    lines(props, func),
    neighbours("Called by", callers, total, tree, select),
    neighbours("Calls", callees, total, tree, select, own));
}

/** @param {string} value @param {string} words */
const figure = (value, words) => h("div", { key: words }, h("b", null, value), h("span", null, words));

/** @param {Tree} tree of the function and what it calls */
function states(tree) {
  const parts = (tree.states ?? []).map(({ name, own }) => ({ ...shownState(name),
    value: Array.from(own).reduce((sum, us) => sum + us, 0) })).filter(({ value }) => value > 0);
  if (parts.every(({ name }) => name === "unknown")) return h("p", { class: "quiet-words" }, "Whether it ran or waited is not known.");
  return h(Parts, { parts: parts.map(({ words, colour, value }) => ({ name: words, value, colour: `var(--${colour})` })) });
}

/** @param {Props} props @param {import("../data/tree.js").Func} func */
function lines({ lines, hasPills }, func) {
  if (!func.path && !func.file) return null;
  const all = lines?.reduce((sum, { us }) => sum + us, 0) ?? 0, most = lines?.[0]?.us ?? 1;
  return h("section", null,
    h("h3", null, "Lines", h("span", null, "share of total")),
    lines === null ? h("p", { class: "quiet-words" }, "…") : lines.slice(0, ROWS).map(({ line, us }) => h("div", { key: line, class: "source-line" },
      h("span", { class: "figure mono" }, line === null ? "?" : String(line)), bar(us, most, "var(--cpufill)"), h("span", { class: "figure" }, duration(us)),
      h("span", { class: "figure" }, percent(us, all)))),
    lines && lines.length > ROWS ? h("p", { class: "quiet-words" },
      `${lines.length - ROWS} more lines, ${percent(lines.slice(ROWS).reduce((sum, { us }) => sum + us, 0), all)}`) : null,
    lines?.length === 0 ? h("p", { class: "quiet-words" }, "No lines are known.") : null,
    hasPills ? h("p", { class: "quiet-words" }, "Of all that is selected: transforms do not apply to lines.") : null);
}

/** @param {string} title @param {{func: number, total: number}[]} list @param {number} all @param {Tree} tree @param {(key: string) => void} select
 *  @param {number} [self] */
function neighbours(title, list, all, tree, select, self = 0) {
  const rest = list.slice(ROWS).reduce((sum, { total }) => sum + total, 0);
  const row = (/** @type {import("../vendor/preact.js").Child} */ name, /** @type {number} */ us, /** @type {unknown} */ key) =>
    h("div", { class: "neighbour", key }, name, bar(us, all), h("span", { class: "figure" }, percent(us, all)));
  const rows = list.slice(0, ROWS).map(({ func, total }) => {
    const of = tree.functions[func];
    return { us: total, row: row(h("span", { class: "clip" }, kindDot(of),
      h("button", { type: "button", class: "link", dir: "auto", title: of.name.slice(0, 400), onClick: () => select(keyOf(of)) }, labelOf(of).slice(0, 200))),
      total, func) };
  });
  if (self > 0) rows.push({ us: self, row: row(h("span", { class: "clip" }, h("span", { class: "dot none" }), "(self)"), self, "self") });
  return h("section", null,
    h("h3", null, title, h("span", null, "share of total")),
    rows.sort((a, b) => b.us - a.us).map(({ row }) => row),
    rest > 0 ? row(`${count(list.length - ROWS)} others`, rest, "rest") : null,
    rows.length === 0 ? h("p", { class: "quiet-words" }, title === "Calls" ? "It calls nothing." : "Nothing calls it: it is a root.") : null);
}

/** The place of the panel: drawn wider or narrower at its left edge; where the page is narrow it lies over it.
 *  @typedef {{isOpen: boolean, close: () => void, children?: import("../vendor/preact.js").Child}} SideProps */

/** @extends {Component<SideProps, {wide: number}>} */
export class Side extends Component {
  /** @param {SideProps} props */
  constructor(props) {
    super(props);
    /** @type {{wide: number}} */ this.state = { wide: kept() };
  }

  /** @param {number} wide */
  set(wide) {
    const within = Math.max(WIDE.least, Math.min(WIDE.most, Math.round(wide)));
    try { localStorage.setItem(KEY, String(within)); } catch { /* a browser that keeps nothing */ }
    this.setState({ wide: within });
  }

  /** @param {PointerEvent} event */
  down(event) {
    const { wide } = this.state, began = event.clientX;
    const move = (/** @type {PointerEvent} */ event) => this.set(wide + began - event.clientX);
    const up = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", up); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
    event.preventDefault();
  }

  render() {
    const { isOpen, close, children } = this.props, { wide } = this.state;
    if (!isOpen) return null;
    const key = (/** @type {KeyboardEvent} */ event) => {
      const by = { ArrowLeft: 16, ArrowRight: -16 }[event.key];
      if (by) { event.preventDefault(); this.set(wide + by); }
    };
    return h("aside", { "aria-label": "Details", style: { width: wide + "px" },
      onKeyDown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape" && innerWidth < 1000) { event.stopPropagation(); close(); } } },
      h("div", { class: "edge", role: "separator", tabIndex: 0, "aria-orientation": "vertical", "aria-label": "Width of the details", "aria-valuenow": wide,
        "aria-valuemin": WIDE.least, "aria-valuemax": WIDE.most,
        onKeyDown: key, onPointerDown: (/** @type {any} */ event) => this.down(event) }),
      h("button", { type: "button", class: "quiet square drawer-close", "aria-label": "Close the details", onClick: close }, icon("close")),
      h("div", { class: "aside-body", tabIndex: 0 }, children));
  }
}

/** @returns {number} */
function kept() {
  try { return Number(localStorage.getItem(KEY)) || (innerWidth < 1280 ? 280 : WIDE.first); } catch { return WIDE.first; }
}
