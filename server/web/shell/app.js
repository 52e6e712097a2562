// @ts-check
// The frame around every page: where one is and can go, the span of time, live or not, light or dark. A page is loaded when
// it is first gone to.

import { Component, h, render } from "../vendor/preact.js";
import { addressOf, place } from "./address.js";
import { GoTo } from "./goto.js";
import { icon } from "./icons.js";
import { Keys } from "./keys.js";
import { leadsTo } from "./link.js";
import { isTyping } from "./parts.js";
import "./refs.js";
import { toggle } from "./theme.js";
import { TimeRange } from "./time.js";

/** How often a live page asks, milliseconds. A hidden one does not. */
const EVERY_MS = 2000;
/** A polite voice says no more than one thing in this time, milliseconds. */
const SAY_MS = 2000;

/** @typedef {import("./address.js").PageName} PageName */
/** What a page gets. `go` changes the address: to another page, or of this one (`isSmall`: within the same entry of the history).
 *  `tick` rises when a live page is to ask again; `say` tells those who listen.
 *  @typedef {{search: string, go: (page: PageName, search: string, isSmall?: boolean) => void, live: boolean, setLive: (live: boolean) => void, tick: number, say: (words: string) => void}} PageProps */

/** @type {Record<PageName, {title: string, nav: boolean, time: boolean, live: boolean, load: () => Promise<{default: any}>}>} */
const PAGES = {
  services: { title: "Services", nav: true, time: true, live: true, load: () => import("../home/page.js") },
  profile: { title: "Profile", nav: true, time: true, live: true, load: () => import("../profile/page.js") },
  compare: { title: "Compare", nav: true, time: false, live: false, load: () => import("../compare/page.js") },
  transactions: { title: "Transactions", nav: true, time: true, live: true, load: () => import("../transactions/page.js") },
  trace: { title: "Trace", nav: false, time: false, live: false, load: () => import("../trace/page.js") },
  usage: { title: "Usage", nav: true, time: false, live: false, load: () => import("../usage/page.js") },
  refused: { title: "Refused items", nav: false, time: false, live: false, load: () => import("../refused/page.js") },
};

/** @returns {PageName} */
function pageName() {
  const name = location.pathname.slice(1);
  return name === "" ? "services" : Object.hasOwn(PAGES, name) ? /** @type {PageName} */ (name) : "services";
}

/** @typedef {{page: PageName, search: string, live: boolean, tick: number, loaded: any, trouble: string, dialog: "" | "goto" | "keys", said: string}} State */

/** @extends {Component<{}, State>} */
class App extends Component {
  /** @param {{}} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { page: pageName(), search: location.search, live: true, tick: 0, loaded: null, trouble: "", dialog: "", said: "" };
    this.saidAt = 0;
    this.go = this.go.bind(this);
    this.say = this.say.bind(this);
  }

  componentDidMount() {
    addEventListener("popstate", () => { this.setState({ page: pageName(), search: location.search }); this.load(); });
    addEventListener("keydown", event => this.key(event));
    // Once: what fails while it is drawn fails again when this is.
    addEventListener("error", event => { if (this.state.trouble === "") this.setState({ trouble: `This page has a fault: ${event.message}` }); });
    setInterval(() => { if (this.isLive() && !document.hidden) this.setState({ tick: this.state.tick + 1 }); }, EVERY_MS);
    this.load();
  }

  isLive() {
    const query = new URLSearchParams(this.state.search);
    return this.state.live && PAGES[this.state.page].live && place.read(this.state.search).to === "now" && !query.has("w0");
  }

  async load() {
    const page = pageName();
    document.title = `${PAGES[page].title} · sentry-profiled`;
    try {
      const loaded = (await PAGES[page].load()).default;
      if (page === pageName()) this.setState({ loaded, trouble: "" });
    } catch (error) {
      this.setState({ loaded: null, trouble: `This part of the page cannot be loaded: ${error instanceof Error ? error.message : error}` });
    }
  }

  /** @param {PageName} page @param {string} search @param {boolean} [isSmall] */
  go(page, search, isSmall = false) {
    const address = addressOf(page, search);
    if (isSmall) history.replaceState(null, "", address); else history.pushState(null, "", address);
    const isOther = page !== this.state.page;
    this.setState({ page, search, ...(isOther ? { loaded: null } : {}) });
    if (isOther) this.load();
  }

  /** @param {string} words */
  say(words) {
    clearTimeout(this.later);
    const wait = this.saidAt + SAY_MS - Date.now();
    if (wait > 0) { this.later = setTimeout(() => this.say(words), wait); return; }
    this.saidAt = Date.now();
    this.setState({ said: words });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.defaultPrevented || event.altKey || this.state.dialog) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "f") {
      const find = document.getElementById("search");
      if (find) { event.preventDefault(); find.focus(); }
    }
    if (event.ctrlKey || event.metaKey || isTyping(event.target)) return;
    if (event.key === "/") { event.preventDefault(); this.setState({ dialog: "goto" }); }
    if (event.key === "?") { event.preventDefault(); this.setState({ dialog: "keys" }); }
  }

  render() {
    const { page, search, tick, loaded: Page, trouble, dialog, said } = this.state, { go, say } = this;
    const setLive = (/** @type {boolean} */ live) => this.setState({ live });
    const shut = () => this.setState({ dialog: "" });
    return [
      this.header(),
      Page ? h(Page, { key: page, search, go, live: this.isLive(), setLive, tick, say }) : h("main", { class: "waits" }, trouble ? h("p", { class: "trouble", role: "alert" }, trouble) : null),
      dialog === "goto" ? h(GoTo, { key: "goto", search, close: shut, go }) : null,
      dialog === "keys" ? h(Keys, { key: "keys", close: shut }) : null,
      h("div", { key: "said", class: "spoken", role: "status" }, said),
    ];
  }

  header() {
    const { page, search, live } = this.state, at = place.read(search), { time, live: lives } = PAGES[page];
    const link = (/** @type {PageName} */ to) => h("a", {
      key: to, ...leadsTo(to, place.write(at), this.go), "aria-current": to === page || to === "transactions" && page === "trace" ? "page" : undefined,
    }, PAGES[to].title);
    const choose = (/** @type {string} */ from, /** @type {string} */ to) => {
      const query = new URLSearchParams(search);
      for (const name of ["w0", "w1"]) query.delete(name);
      query.set("from", from);
      query.set("to", to);
      this.go(page, "?" + query);
    };
    return h("header", { key: "header", class: "top" },
      h("a", { class: "logo", href: addressOf("services", ""), "aria-label": "sentry-profiled: all services", onClick: (/** @type {any} */ event) => { event.preventDefault(); this.go("services", ""); } },
        h("img", { src: "/icon.svg", alt: "", width: 16, height: 16 }), h("b", null, "sentry-profiled")),
      h("nav", { "aria-label": "Pages" }, /** @type {PageName[]} */ (Object.keys(PAGES)).filter(name => PAGES[name].nav).map(link)),
      h("button", { type: "button", class: "quiet goto-open", "aria-label": "Go to service, function or trace", onClick: () => this.setState({ dialog: "goto" }) }, icon("search"), h("span", null, "Go to service, function or trace"), h("kbd", null, "/")),
      time ? h(TimeRange, { key: "time", from: at.from, to: at.to, choose }) : null,
      lives ? h("button", { type: "button", class: "live", "aria-pressed": String(this.isLive()), disabled: live && !this.isLive(), title: "Ask again every two seconds", onClick: () => this.setState({ live: !live }) }, h("span", { class: "lamp" }), "Live") : null,
      h("button", { type: "button", class: "quiet square", "aria-label": "Light or dark", title: "Light or dark", onClick: toggle }, icon("sun")),
      h("button", { type: "button", class: "quiet square", "aria-label": "Keys", title: "Keys (?)", onClick: () => this.setState({ dialog: "keys" }) }, icon("help")));
  }
}

const page = document.getElementById("page");
if (page) render(h(App, {}), page);
