// @ts-check
// Some of many by a list that can be narrowed down by typing: threads, instances.

import { Component, createRef, h } from "../vendor/preact.js";
import { count } from "../data/format.js";
import { icon } from "../shell/icons.js";
import { bar } from "../shell/parts.js";

/** More are not put on the page: typing narrows them down. */
const SHOWN_MAX = 200;

/** `share` is drawn as a bar, of the largest. @typedef {{id: string, text: string, more: string, figure: number, share: number}} Option */
/** None chosen are all. @typedef {{name: string, label: import("../vendor/preact.js").Child, all: string, figureOf: string, hint: string, options: Option[],
 *  chosen: string[], class?: string, choose: (ids: string[]) => void, shownAs?: (figure: number) => string}} Props */

/** @extends {Component<Props, {open: boolean, text: string, at: number}>} */
export class Picker extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{open: boolean, text: string, at: number}} */ this.state = { open: false, text: "", at: 0 };
    this.box = createRef();
    this.button = createRef();
    this.list = createRef();
    this.outside = (/** @type {any} */ event) => { if (!this.box.current?.contains(event.target)) this.setState({ open: false }); };
  }

  /** @param {Props} _ @param {{open: boolean, at: number}} before */
  componentDidUpdate(_, before) {
    const { open, at } = this.state;
    if (open && !before.open) { addEventListener("pointerdown", this.outside, true); this.box.current.querySelector("input").focus(); }
    if (!open && before.open) removeEventListener("pointerdown", this.outside, true);
    if (open && at !== before.at) document.getElementById(this.idOf(at))?.scrollIntoView({ block: "nearest" });
  }

  componentWillUnmount() {
    removeEventListener("pointerdown", this.outside, true);
  }

  /** Opened from elsewhere on the page. */
  open() {
    this.setState({ open: true, text: "", at: 0 });
  }

  close() {
    this.setState({ open: false });
    this.button.current?.focus();
  }

  /** @param {number} at */
  idOf(at) {
    return `pick-${this.props.name.replaceAll(" ", "-")}-${at}`;
  }

  /** The first entry is all of them. @returns {(Option | null)[]} */
  found() {
    const asked = this.state.text.toLowerCase(), { options } = this.props;
    const found = asked === "" ? options : options.filter(({ text, more }) => `${text} ${more}`.toLowerCase().includes(asked));
    return asked === "" ? [null, ...found] : found;
  }

  /** @param {Option | null | undefined} option @param {boolean} only */
  pick(option, only) {
    const { chosen, choose } = this.props;
    if (option === undefined) return;
    if (option === null) choose([]);
    else if (only) choose([option.id]);
    else choose(chosen.includes(option.id) ? chosen.filter(id => id !== option.id) : [...chosen, option.id]);
    if (only) this.close();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const found = this.found(), last = Math.min(found.length, SHOWN_MAX) - 1, { at } = this.state, isTyping = event.target !== this.list.current;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, ...(isTyping ? {} : { Home: 0, End: last }) }[event.key];
    event.stopPropagation();
    if (event.key === "Escape") this.close();
    else if (to !== undefined) { this.list.current.focus(); this.setState({ at: isTyping && event.key === "ArrowDown" ? at : Math.max(0, Math.min(last, to)) }); }
    else if (event.key === "Enter") this.pick(found[at], true);
    else if (event.key === " " && !isTyping) this.pick(found[at], false);
    else return;
    event.preventDefault();
  }

  render() {
    const { name, label, hint, options, class: more = "" } = this.props, { open, text, at } = this.state, found = open ? this.found() : [];
    return h("span", { ref: this.box, class: "menu-place " + more },
      h("button", { type: "button", ref: this.button, class: "quiet", "aria-haspopup": "dialog", "aria-expanded": String(open), title: name,
        onClick: () => open ? this.close() : this.open() }, label),
      open ? h("div", { class: "menu picker", role: "dialog", "aria-label": name, onKeyDown: (/** @type {any} */ event) => this.key(event) },
        h("div", { class: "find" }, icon("search"),
          h("input", { type: "text", "aria-label": `Filter: ${name}`, placeholder: "Filter", value: text,
            onInput: (/** @type {any} */ event) => this.setState({ text: event.currentTarget.value, at: 0 }) }),
          h("small", null, count(options.length))),
        h("div", { ref: this.list, role: "listbox", tabIndex: 0, "aria-label": name, "aria-multiselectable": "true",
          "aria-activedescendant": found.length > 0 ? this.idOf(at) : undefined, class: "options" },
          found.slice(0, SHOWN_MAX).map((option, place) => this.option(option, place, place === at))),
        h("p", { class: "hint" }, found.length === 0 ? "None is called so." : found.length > SHOWN_MAX
          ? `${count(found.length - SHOWN_MAX)} more: type to narrow them down` : hint)) : null);
  }

  /** @param {?Option} option @param {number} place @param {boolean} isActive */
  option(option, place, isActive) {
    const { all, options, chosen, figureOf, shownAs = count } = this.props, isChosen = option ? chosen.includes(option.id) : chosen.length === 0;
    const sum = options.reduce((sum, { figure }) => sum + figure, 0), most = options.reduce((most, { share }) => Math.max(most, share), 0);
    return h("div", {
      key: option?.id ?? "all", id: this.idOf(place), role: "option", "aria-selected": String(isChosen),
      class: (isActive ? "active" : "") + (option ? "" : " all"),
      onClick: () => { this.setState({ at: place }); this.pick(option, false); },
    },
    h("span", { class: "check" + (option ? "" : " none") }, isChosen ? icon("check") : null),
    h("span", { class: "name" }, h("span", { class: "clip", dir: "auto" }, option ? option.text : all),
      option ? h("small", { class: "clip" }, option.more) : null),
    option ? bar(option.share, most) : null,
    h("span", { class: "figure" }, shownAs(option ? option.figure : sum), option ? h("span", { class: "spoken" }, ` ${figureOf}`) : ` ${figureOf}`));
  }
}
