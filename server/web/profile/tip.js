// @ts-check
// What is said of the frame under the pointer. Nothing stands here alone: the panel says the same of the selected frame.

import { bandOf, clean, dotOf, labelOf, wordsOf } from "../data/colour.js";
import { count, duration, percent } from "../data/format.js";
import { between, shownState } from "../data/states.js";
import { end } from "../data/tree.js";
import { isDark } from "../shell/theme.js";

/** @typedef {import("../data/scene.js").Scene} Scene */

/** From the pointer to the tip, pixels; and how long it waits, milliseconds. */
const AWAY = 14, WAIT_MS = 40;

/** @param {string} tag @param {string} name @param {(Node | string)[]} children */
function element(tag, name, ...children) {
  const made = document.createElement(tag);
  made.className = name;
  made.append(...children);
  return made;
}

/** A name from outside. @param {string} tag @param {string} name @param {string} text */
function named(tag, name, text) {
  const made = element(tag, name, clean(text));
  made.dir = "auto";
  return made;
}

/** @param {string} name @param {string} value @param {string} share */
const row = (name, value, share) => element("div", "tip-row", element("span", "", name), element("span", "", value), element("b", "", share));

/** @param {string} name @param {string} value */
const wideRow = (name, value) => element("div", "tip-row wide", element("span", "", name), element("b", "", value));

/** @param {Scene} scene @param {number} node @param {?((node: number) => [string, string])} more a line of its own @returns {Node[]} */
function frame({ tree, parent }, node, more) {
  const func = tree.functions[tree.func[node]], up = parent[node], band = bandOf(func), place = func.file ?? func.path ?? func.package ?? "";
  const dot = element("span", "dot");
  dot.style.background = dotOf(band, isDark());
  const states = between(tree, node, end(tree, node));
  const total = states?.reduce((sum, { us }) => sum + us, 0) ?? 0;
  return [
    element("div", "tip-name", dot, named("b", "", labelOf(func))),
    named("div", "tip-place mono", place ? place + (func.line ? ":" + func.line : "") : func.module ?? "no file known"),
    row("Self", duration(tree.own[node]), percent(tree.own[node], tree.all)),
    row("Total", duration(tree.total[node]), percent(tree.total[node], tree.all)),
    ...(up >= 0 ? [row("Of caller", tree.samples ? `${count(tree.samples.total[node])} samples` : "", percent(tree.total[node], tree.total[up]))] : tree.samples ? [row("Samples", count(tree.samples.total[node]), "")] : []),
    ...(more ? [wideRow(...more(node))] : []),
    element("div", "tip-states", [wordsOf(band), ...(states ?? []).slice(0, 3).map(({ name, us }) => `${shownState(name).words} ${percent(us, total)}`)].join(" · ")),
    element("div", "tip-hint", "Click select · double-click zoom · right-click menu"),
  ];
}

/** @param {Scene} scene @param {number} from @param {number} to places of nodes */
function narrow({ tree, nodes }, from, to) {
  let us = 0;
  for (let place = from; place < to; place++) us += tree.total[nodes[place]];
  if (to - from === 1) return null;
  return [element("div", "tip-name", element("b", "", `${count(to - from)} narrow frames, ${percent(us, tree.all)}`)), element("div", "tip-hint", "Zoom in to tell them apart")];
}

/** `node` or, where that is -1, a sliver of nodes. @typedef {{node: number, from: number, to: number}} Target */

export class Tip {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    this.box.hidden = true;
    /** @type {?Target} */ this.target = null;
  }

  /** @param {Scene} scene @param {?Target} target @param {number} x @param {number} y @param {?((node: number) => [string, string])} more */
  point(scene, target, x, y, more) {
    const is = this.target;
    this.x = x;
    this.y = y;
    if (!target) { this.hide(); return; }
    if (is && is.node === target.node && is.from === target.from && is.to === target.to) { if (!this.box.hidden) this.place(); return; }
    this.target = target;
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.box.replaceChildren(...(target.node >= 0 ? frame(scene, target.node, more) : narrow(scene, target.from, target.to) ?? frame(scene, scene.nodes[target.from], more)));
      this.box.hidden = false;
      this.place();
    }, WAIT_MS);
  }

  hide() {
    clearTimeout(this.later);
    this.target = null;
    this.box.hidden = true;
  }

  /** Beside the pointer, never under it. */
  place() {
    const { box, x = 0, y = 0 } = this, around = box.parentElement;
    if (!around) return;
    const left = x + AWAY + box.offsetWidth > around.clientWidth ? Math.max(0, x - AWAY - box.offsetWidth) : x + AWAY;
    const isAbove = y + AWAY + box.offsetHeight > around.clientHeight && y > around.clientHeight / 2;
    box.style.left = left + "px";
    box.style.top = (isAbove ? Math.max(0, y - AWAY - box.offsetHeight) : y + AWAY) + "px";
  }
}
