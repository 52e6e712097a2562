// @ts-check
// Go to a service, a function or a trace by typing some of it.

import { Component, createRef, h } from "../vendor/preact.js";
import { ask } from "../data/api.js";
import { percent } from "../data/format.js";
import { group } from "../data/services.js";
import { keyOf } from "../data/tree.js";
import { func } from "../data/api.js";
import { place, asked } from "./address.js";
import { icon } from "./icons.js";

const FUNCTIONS = 2000;
const SHOWN = 12;

/** @typedef {{search: string, close: () => void, go: (page: import("./address.js").PageName, search: string) => void}} Props */
/** @typedef {{kind: string, name: string, more: string, go: () => void}} Target */

/** @extends {Component<Props, {text: string, at: number, targets: Target[], trouble: string}>} */
export class GoTo extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{text: string, at: number, targets: Target[], trouble: string}} */
    this.state = { text: "", at: 0, targets: [], trouble: "" };
    this.dialog = createRef();
  }

  componentDidMount() {
    this.dialog.current.showModal();
    this.load().catch(error => this.setState({ trouble: String(error.message ?? error) }));
  }

  async load() {
    const { search, go } = this.props, here = place.read(search);
    const [{ projects }, functions] = await Promise.all([
      ask("projects", {}), ask("functions", { ...asked(here), limit: FUNCTIONS }).catch(() => ({ functions: [], total_us: 0 })),
    ]);
    const services = (await Promise.all(projects.map(async (/** @type {number} */ project) => group(project, (await ask("services", { project: String(project), from: here.from, to: here.to })).sessions)))).flat();
    this.setState({ targets: [
      ...services.map(service => ({ kind: "service", name: service.name, more: [service.environment, service.release].filter(Boolean).join(" · "), go: () => go("profile", place.write({ ...here, ...service.place })) })),
      ...functions.functions.map((/** @type {any} */ { function: of, own }) => {
        const key = keyOf(func([of.name, of.module, of.package, of.file, of.path, of.line, of.in_app]));
        const place = new URLSearchParams(search.replace(/^\?/, ""));
        place.set("f", key);
        place.set("view", "sandwich");
        return { kind: "function", name: of.name, more: `${of.module ?? of.package ?? of.file ?? ""} ${percent(own.us, functions.total_us)} self`, go: () => go("profile", "?" + place) };
      }),
    ] });
  }

  /** @returns {Target[]} */
  found() {
    const { text, targets } = this.state, asked = text.trim().toLowerCase();
    const trace = asked.replaceAll("-", "");
    /** @type {Target[]} */ const traces = /^[0-9a-f]{32}$/.test(trace) ? [{ kind: "trace", name: trace, more: "", go: () => this.props.go("trace", `?project=${place.read(this.props.search).project}&trace=${trace}`) }] : [];
    return [...traces, ...targets.filter(({ name, more }) => asked === "" || name.toLowerCase().includes(asked) || more.toLowerCase().includes(asked))].slice(0, SHOWN);
  }

  /** @param {Target | undefined} target */
  open(target) {
    if (!target) return;
    this.props.close();
    target.go();
  }

  render() {
    const found = this.found(), { text, at, trouble } = this.state;
    const key = (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); this.setState({ at: Math.max(0, Math.min(found.length - 1, at + step)) }); }
      if (event.key === "Enter") { event.preventDefault(); this.open(found[at]); }
    };
    return h("dialog", { ref: this.dialog, class: "goto", "aria-label": "Go to service, function or trace", onClose: () => this.props.close(),
      onClick: (/** @type {any} */ event) => { if (event.target === event.currentTarget) this.props.close(); } },
    h("div", { class: "goto-find" }, icon("search"), h("input", {
      autoFocus: true, type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "goto-list", "aria-activedescendant": found[at] ? `goto-${at}` : undefined, "aria-label": "Go to service, function or trace", placeholder: "Service, function, or a trace's id", value: text, onKeyDown: key,
      onInput: (/** @type {any} */ event) => this.setState({ text: event.currentTarget.value, at: 0 }),
    })),
    h("div", { role: "listbox", id: "goto-list", "aria-label": "Found" }, found.map((target, place) =>
      h("div", { key: place, id: `goto-${place}`, role: "option", "aria-selected": String(place === at), onClick: () => this.open(target) }, h("span", { class: "kind" }, target.kind), h("b", null, target.name), h("small", null, target.more)))),
    h("p", { role: "status", class: "hint" }, trouble || (found.length === 0 ? "Nothing here is called so." : `${found.length} shown`)));
  }
}
