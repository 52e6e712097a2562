// @ts-check
// All services: who uses the CPU, with which functions, what the last release changed, and how far that can be trusted.

import { Component, h } from "../vendor/preact.js";
import { Chart } from "../chart/chart.js";
import { ask, Refusal } from "../data/api.js";
import { clock, cores, hours } from "../data/format.js";
import { version } from "../data/services.js";
import { place } from "../shell/address.js";
import { icon } from "../shell/icons.js";
import { Choice, Loading, Message, Nothing } from "../shell/parts.js";
import { address } from "./address.js";
import { First } from "./first.js";
import { BUCKETS, byCpu, Questions } from "./questions.js";
import { Rail } from "./rail.js";
import { StatusBar } from "./status.js";
import { Table } from "./table.js";
import { ago, many } from "./words.js";

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./questions.js").Data} Data */
/** @typedef {import("./questions.js").Figures} Figures */
/** @typedef {import("../data/services.js").Service} Service */
/** @typedef {(change: Partial<Shown>, isSmall?: boolean) => void} Set changes the address */
/** @typedef {{data: ?Data, isEmpty: boolean, status: any, trouble: string, isAway: boolean}} State */

/** A live page asks again after so many ticks, but not before it has waited so many times as long as the answers took: looking on must
 *  cost next to nothing. */
const TICKS = 5, WAIT = 100;
const COLOURS = ["d1", "d2", "d3", "d4", "d5", "d6", "d7"], NO_COLOUR = "sleep";
/** Stands for profiles without an environment in a list of choices. */
const NONE = "\u0000";

/** @extends {Component<Props, State>} */
export default class Home extends Component {
  asking = new AbortController();
  questions = new Questions();
  isAsking = false;
  /** When the last questions ended and how long they took, milliseconds. */
  ended = 0;
  took = 0;
  /** Each service keeps the colour that it got first. @type {Map<string, string>} */ colours = new Map();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { data: null, isEmpty: false, status: null, trouble: "", isAway: false };
  }

  componentDidMount() {
    this.refresh();
  }

  componentWillUnmount() {
    this.asking.abort();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    const { search, tick } = this.props, now = address.read(search), was = address.read(before.search), { isEmpty, data } = this.state;
    if (now.from !== was.from || now.to !== was.to) { this.refresh(); return; }
    if (tick === before.tick || this.isAsking) return;
    const isDue = tick % TICKS === 0;
    if (isEmpty || !data || isDue && Date.now() - this.ended >= WAIT * this.took) this.refresh();
    else if (isDue) this.listen();
  }

  /** Whether the server is still there. */
  listen() {
    ask("projects", {}, this.asking.signal).then(() => { if (this.state.isAway) this.setState({ trouble: "", isAway: false }); }, error => this.fail(error));
  }

  /** @param {unknown} error */
  fail(error) {
    if (this.asking.signal.aborted) return;
    this.setState({ trouble: error instanceof Error ? error.message : String(error), isAway: error instanceof Refusal && error.status === 0 });
  }

  async refresh() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking, began = Date.now();
    this.isAsking = true;
    try {
      await this.questions.ask(address.read(this.props.search), this.state.data, answer => this.tell(answer), signal);
      if (!signal.aborted) this.setState({ trouble: "", isAway: false });
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
    if (signal.aborted) return;
    this.isAsking = false;
    this.ended = Date.now();
    this.took = this.ended - began;
  }

  /** @param {import("./questions.js").Answer} answer */
  tell({ status, data }) {
    if (this.state.isEmpty && data && data.services.length > 0) { this.open(data.services); return; }
    for (const { key } of data?.services ?? []) if (!this.colours.has(key)) this.colours.set(key, COLOURS[this.colours.size] ?? NO_COLOUR);
    this.setState({ status, data: data ?? this.state.data, isEmpty: data === null });
  }

  /** The first profile of all has come. @param {Service[]} services */
  open(services) {
    const [service] = services.toSorted((a, b) => b.last_us - a.last_us), { from, to } = address.read(this.props.search);
    this.props.say(`The first profile has come: ${service.name}`);
    this.props.go("profile", place.write({ ...place.first, from, to, ...service.place }));
  }

  render() {
    const { data, isEmpty, status, trouble } = this.state, { search, go, say } = this.props, shown = address.read(search);
    const foot = h(StatusBar, { key: "status", status, search });
    if (isEmpty) return [h(First, { key: "first", status, trouble, say }), foot];
    const set = (/** @type {Partial<Shown>} */ change, isSmall = false) => go("services", address.write({ ...shown, ...change }), isSmall);
    const services = data ? this.chosen(data, shown) : [];
    return [
      h("main", { key: "main", class: "home" },
        h("section", { class: "home-services", "aria-label": "Services" },
          this.head(data, shown, set),
          trouble ? this.message() : null,
          h("div", { class: "home-total" }, data ? this.total(data, services, set) : null),
          !data ? h(Loading, { words: "Asking for services" }) : services.length === 0 ? this.none(data, set) : h(Table, {
            services, figures: data.figures, shown, projectName: project => this.projectName(project), colourOf: ({ key }) => `var(--${this.colours.get(key) ?? NO_COLOUR})`,
            sortBy: sort => set({ sort }), open: search => go("profile", search),
          })),
        h(Rail, { services, figures: data?.figures ?? null, at: place.read(search), status, go, say })),
      foot,
    ];
  }

  message() {
    const { trouble, isAway, data } = this.state, action = { text: "Try now", act: () => this.refresh() };
    if (!isAway) return h(Message, { level: "bad", title: "Not all of it could be asked.", text: trouble, action });
    return h(Message, { level: "bad", title: "The server does not answer.", text: data ? `What you see is from ${clock(data.at * 1000)}.` : "", action });
  }

  /** @param {Data} data @param {Shown} shown */
  chosen({ services, figures }, { env, q, sort }) {
    const asked = q.trim().toLowerCase();
    const isAsked = (/** @type {Service} */ { name, environment, release, project }) =>
      [name, environment, release, this.projectName(project)].some(text => text?.toLowerCase().includes(asked));
    const found = services.filter(service => (env.length === 0 || env.includes(service.environment ?? "")) && (asked === "" || isAsked(service)));
    if (sort === "profiled") return found.sort((a, b) => b.profiled_us - a.profiled_us);
    return found.sort(sort === "name" ? (a, b) => a.name.localeCompare(b.name) : byCpu(figures));
  }

  /** @param {string} project @returns {string} */
  projectName(project) {
    return this.state.status?.projects?.find((/** @type {any} */ one) => String(one.id) === project)?.name ?? `project ${project}`;
  }

  /** @param {?Data} data @param {Shown} shown @param {Set} set */
  head(data, shown, set) {
    const services = data?.services ?? [], environments = [...new Set(services.map(({ environment }) => environment ?? ""))].sort();
    const chosen = shown.env.length === 0 ? "" : shown.env.length === 1 ? shown.env[0] || NONE : shown.env.join(", ");
    return h("div", { class: "home-head" }, h("h1", null, "Services"), h("p", { class: "clip" }, services.length > 0 ? inAll(services) + (data && data.left > 0 ? `; ${many(data.left, "more service")} profiled for less, not shown` : "") : ""),
      h("span", { class: "find" }, icon("filter"), h("input", {
        id: "search", type: "search", placeholder: "Filter services", "aria-label": "Filter services", value: shown.q,
        onInput: (/** @type {any} */ event) => set({ q: event.currentTarget.value }, true),
      }), h("kbd", null, "Ctrl F")),
      h(Choice, {
        name: "Environment", chosen, choose: value => set({ env: value === "" ? [] : [value === NONE ? "" : value] }),
        options: [["", "All environments"], ...environments.map(name => /** @type {[string, string]} */ ([name || NONE, name || "no environment"]))],
      }));
  }

  /** @param {Data} data @param {Service[]} services @param {Set} set */
  total({ figures, from, to }, services, set) {
    const of = (/** @type {Service} */ { key }) => /** @type {Figures} */ (figures.get(key)), sorted = services.toSorted(byCpu(figures));
    const known = sorted.filter(service => of(service).hasStates), drawn = known.length > 0 ? known : sorted, left = services.length - drawn.length;
    const own = drawn.length > COLOURS.length ? drawn.slice(0, COLOURS.length - 1) : drawn, rest = drawn.slice(own.length);
    const xs = Array.from({ length: BUCKETS }, (_, at) => from + (at + 0.5) * (to - from) / BUCKETS);
    const lines = own.map(service => ({ name: service.name, colour: this.colours.get(service.key) ?? NO_COLOUR, values: of(service).values }));
    if (rest.length > 0) lines.push({ name: `${rest.length} others`, colour: NO_COLOUR, values: added(rest.map(service => of(service).values)) });
    const marks = drawn.filter(({ before }) => before !== null).map(({ name, release, released_us }) => ({ x: released_us / 1e6, text: `${name} ${version(release)}` }));
    marks.sort((a, b) => a.x - b.x);
    const ends = lines.map(({ name, values }) => `${name} ${cores(values.findLast(value => value !== null) ?? 0)}`).join(", ");
    const isKnown = known.length > 0, without = left > 0 ? `; without ${many(left, "service")} whose profiles have no CPU states` : "";
    return h(Chart, {
      title: isKnown ? "CPU, all services" : "Threads that were not idle, all services", note: isKnown ? `cores, on-CPU samples${without}` : "the profiles have no CPU states",
      summary: `${isKnown ? "cores" : "threads"} at the end: ${ends}${marks.length > 0 ? `; releases: ${marks.map(({ text }) => text).join(", ")}` : ""}`,
      height: 118, stacked: true, lines, xs, from, to, marks, format: cores, select: (a, b) => set({ from: a.toFixed(3), to: b.toFixed(3) }),
    });
  }

  /** @param {Data} data @param {Set} set */
  none({ services }, set) {
    if (services.length === 0) {
      const actions = [{ text: "Last 30 days", act: () => set({ from: "-30d", to: "now" }) }];
      return h(Nothing, { title: "No profiles in this window", text: "There are older or newer ones.", actions });
    }
    const actions = [{ text: "Show all", act: () => set({ q: "", env: [] }) }];
    return h(Nothing, { title: "No service fits the filter", text: `${many(services.length, "service")} in this window.`, actions });
  }
}

/** @param {Service[]} services */
function inAll(services) {
  const projects = new Set(services.map(({ project }) => project)).size, us = services.reduce((sum, { profiled_us }) => sum + profiled_us, 0);
  const last = Math.max(...services.map(({ last_us }) => last_us));
  return `${many(services.length, "service")} in ${many(projects, "project")}, ${hours(us)} of profiles, last chunk ${ago(Date.now() * 1000 - last)}`;
}

/** The sums of series; nothing where none of them is known. @param {(number | null)[][]} all */
function added(all) {
  return all[0].map((_, at) => all.every(values => values[at] === null) ? null : all.reduce((sum, values) => sum + (values[at] ?? 0), 0));
}
