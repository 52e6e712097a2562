// @ts-check
// The controls and signs of which every page is made.

import { Component, createRef, h } from "../vendor/preact.js";
import { percent } from "../data/format.js";
import { icon } from "./icons.js";

/** @typedef {import("../vendor/preact.js").Child} Child */

/** What was last made of one thing, as long as that stays the same. @template {any[]} A @template B @param {(...from: A) => B} make @returns {(...from: A) => B} */
export function kept(make) {
  /** @type {A | undefined} */ let last;
  /** @type {B} */ let made;
  return (...from) => {
    const is = last;
    if (!is || from.some((one, at) => one !== is[at])) { made = make(...from); last = from; }
    return made;
  };
}

/** Of choices one of which holds. @template {string} T
 *  @param {{name: string, chosen: T, options: [T, string][], choose: (value: T) => void}} props */
export function Switch({ name, chosen, options, choose }) {
  return h("span", { role: "group", class: "switch", "aria-label": name }, options.map(([value, text]) =>
    h("button", { type: "button", key: value, "aria-pressed": String(value === chosen), onClick: () => choose(value) }, text)));
}

/** Opened menus take the keys until they are closed. `act` of an entry is called after that; without it, and with `text` alone, the entry is a heading.
 *  @typedef {{text: string, more?: Child, keys?: string, checked?: boolean, disabled?: boolean, act?: () => void} | "-"} Entry
 *  @typedef {{name: string, label: Child, entries: () => Entry[], class?: string, right?: boolean, arrow?: boolean}} MenuProps */

/** A button that opens a menu. @extends {Component<MenuProps, {open: boolean}>} */
export class Menu extends Component {
  /** @param {MenuProps} props */
  constructor(props) {
    super(props);
    /** @type {{open: boolean}} */ this.state = { open: false };
    this.button = createRef();
  }

  close() {
    this.setState({ open: false });
    this.button.current?.focus();
  }

  render() {
    const { name, label, entries, right, arrow = true } = this.props, { open } = this.state;
    return h("span", { class: "menu-place " + (this.props.class ?? "") },
      h("button", {
        type: "button", ref: this.button, "aria-haspopup": "menu", "aria-expanded": String(open), "aria-label": typeof label === "string" ? undefined : name, title: name,
        onClick: () => this.setState({ open: !open }),
        onKeyDown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "ArrowDown") { event.preventDefault(); this.setState({ open: true }); } },
      }, label, arrow ? icon("down") : null),
      open ? h(MenuList, { name, entries: entries(), right: right ?? false, close: () => this.close(), at: null }) : null);
  }
}

/** @typedef {{name: string, entries: Entry[], close: () => void, right: boolean, at: ?{x: number, y: number}}} ListProps */

/** The entries of an open menu; `at` a point of the window, or below its button. @extends {Component<ListProps>} */
export class MenuList extends Component {
  box = createRef();

  componentDidMount() {
    const box = this.box.current, { at } = this.props;
    if (at) {
      box.style.left = Math.max(4, Math.min(at.x, innerWidth - box.offsetWidth - 4)) + "px";
      box.style.top = Math.max(4, Math.min(at.y, innerHeight - box.offsetHeight - 4)) + "px";
    }
    this.items()[0]?.focus();
    this.outside = (/** @type {Event} */ event) => { if (!box.parentElement.contains(event.target)) this.props.close(); };
    addEventListener("pointerdown", this.outside, true);
  }

  componentWillUnmount() {
    if (this.outside) removeEventListener("pointerdown", this.outside, true);
  }

  /** @returns {HTMLElement[]} */
  items() {
    return [...this.box.current.querySelectorAll('[role^="menuitem"]:not([aria-disabled="true"])')];
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const items = this.items(), at = items.findIndex(item => item === document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "Tab") { event.preventDefault(); this.props.close(); return; }
    if (to !== undefined) { event.preventDefault(); items[to % items.length]?.focus(); return; }
    if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
      const letter = event.key.toLowerCase();
      [...items.slice(at + 1), ...items].find(item => item.textContent?.toLowerCase().startsWith(letter))?.focus();
    }
  }

  render() {
    const { name, entries, right, at, close } = this.props;
    return h("div", { ref: this.box, class: "menu" + (right ? " right" : "") + (at ? " free" : ""), role: "menu", "aria-label": name, onKeyDown: (/** @type {any} */ event) => this.key(event) },
      entries.map((entry, place) => {
        if (entry === "-") return h("hr", { key: place });
        const { text, more, keys, checked, disabled, act } = entry;
        if (!act && !disabled) return h("div", { key: place, class: "head", role: "presentation" }, more, text);
        return h("button", {
          key: place, type: "button", tabIndex: -1, role: checked === undefined ? "menuitem" : "menuitemradio", "aria-checked": checked === undefined ? undefined : String(checked), "aria-disabled": disabled ? "true" : undefined,
          onClick: () => { if (!disabled) { close(); act?.(); } },
        }, checked === undefined ? null : h("span", { class: "tick" }, checked ? icon("check") : null), h("span", { class: "words" }, text), more ? h("span", { class: "more" }, more) : null, keys ? h("kbd", null, keys) : null);
      }));
  }
}

/** One of many, by the browser's own list. @param {{name: string, chosen: string, options: [string, string][], choose: (value: string) => void, class?: string}} props */
export function Choice({ name, chosen, options, choose, class: more = "" }) {
  /** @type {[string, string][]} */ const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  return h("select", { class: more, "aria-label": name, title: name, value: chosen, onChange: (/** @type {any} */ event) => choose(event.currentTarget.value) },
    all.map(([value, text]) => h("option", { key: value, value, selected: value === chosen }, text)));
}

/** A share as a bar of 6 px beside its figure. @param {number} part @param {number} whole @param {string} [colour] */
export function bar(part, whole, colour) {
  return h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { width: `${Math.min(100, part * 100 / Math.max(1, whole))}%`, ...(colour ? { background: colour } : {}) } }));
}

/** Shares of a whole in one bar, with a legend in words. @param {{parts: {name: string, value: number, colour: string}[], quiet?: boolean}} props */
export function Parts({ parts, quiet = false }) {
  const all = parts.reduce((sum, { value }) => sum + value, 0), shown = parts.filter(({ value }) => value > 0);
  const words = shown.map(({ name, value }) => `${name} ${percent(value, all)}`).join(", ");
  return h("span", { class: "parts" },
    h("span", { class: "parts-bar", role: "img", "aria-label": words, title: words }, shown.map(({ name, value, colour }) => h("span", { key: name, style: { width: `${value * 100 / all}%`, background: colour } }))),
    quiet ? null : h("span", { class: "parts-words", "aria-hidden": "true" }, shown.map(({ name, value, colour }) => h("span", { key: name }, dot(colour), name, " ", percent(value, all)))));
}

/** A patch of colour before its word. @param {string} colour a CSS colour */
export function dot(colour) {
  return h("span", { class: "dot", "aria-hidden": "true", style: { background: colour } });
}

/** @param {string} text @param {"" | "warn" | "ok" | "bad" | "acc"} [level] */
export function chip(text, level = "") {
  return h("span", { class: "chip " + level }, text);
}

/** Something that a person must know, and what to do. @param {{level: "warn" | "bad", title: string, text: string, action?: {text: string, act: () => void}}} props */
export function Message({ level, title, text, action }) {
  return h("div", { class: "message " + level, role: level === "bad" ? "alert" : "status" }, icon("warn"), h("span", null, h("b", null, title), " ", text),
    action ? h("button", { type: "button", onClick: action.act }, action.text) : null);
}

/** Nothing is there, and why. @param {{title: string, text?: string, actions?: {text: string, act: () => void}[]}} props */
export function Nothing({ title, text, actions = [] }) {
  return h("div", { class: "nothing" }, h("b", null, title), text ? h("p", null, text) : null,
    actions.length > 0 ? h("p", { class: "row" }, actions.map(({ text, act }) => h("button", { type: "button", key: text, onClick: act }, text))) : null);
}

/** Grey blocks where the answer will be: nothing for the first 150 ms; words after a second. @param {{words?: string}} props */
export function Loading({ words = "" }) {
  return h("div", { class: "loading", role: "status", "aria-label": "Loading" }, [100, 76, 52].map(width => h("div", { key: width, style: { width: width + "%" } })), h("p", null, words));
}

/** Copies, and says so. @param {{text: string, name?: string, class?: string, say: (words: string) => void}} props */
export function Copy({ text, name, class: more = "", say }) {
  const copy = () => navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("The browser does not allow copying: select the text instead"));
  return h("button", { type: "button", class: more, "aria-label": name ?? "Copy", title: name ?? "Copy", onClick: copy }, name ? icon("copy") : "Copy");
}

/** @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}
