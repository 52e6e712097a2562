// @ts-check
// How many hours were profiled, at which pace, whether a budget holds, and what a fleet would take.

import { Component, h } from "../vendor/preact.js";
import { Chart } from "../chart/chart.js";
import { ask, saveFile } from "../data/api.js";
import { bytes, count, percent } from "../data/format.js";
import { inTurn } from "../data/pool.js";
import { clipped, cover } from "../data/services.js";
import { addressOf, place } from "../shell/address.js";
import { icon } from "../shell/icons.js";
import { Choice, kept, Loading, Message, Nothing } from "../shell/parts.js";
import { address } from "./address.js";
import { crossing, csvLine, dayName, expected, monthName, monthOf, months, sums, window } from "./month.js";
import { Rail } from "./rail.js";
import { Table } from "./table.js";
import { hoursOf } from "./words.js";

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./month.js").Hours} Hours */
/** @typedef {import("./month.js").Month} Month */
/** @typedef {import("./rail.js").Recent} Recent */
/** @typedef {{hours: ?Hours[], name: string, recent: Map<number, Recent>, status: any, now: number, trouble: string}} State `name` is the month's */

const MONTHS = 13;
/** Questions at a time. */
const AT_ONCE = 3;
/** Days that are kept where the server does not say it. */
const DAYS = 30;
/** Under this name the browser keeps the budget. */
const KEY = "budget";
const COLOURS = ["d1", "d2", "d3", "d4", "d5", "d6", "d7"];
const colour = (/** @type {number} */ place) => COLOURS[place % COLOURS.length];
const HOUR = 3600e6;

/** @extends {Component<Props, State>} */
export default class Usage extends Component {
  asking = new AbortController();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { hours: null, name: "", recent: new Map(), status: null, now: Date.now(), trouble: "" };
    this.month = kept(monthOf);
  }

  componentDidMount() {
    this.refresh();
  }

  componentWillUnmount() {
    this.asking.abort();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    if (address.read(before.search).month !== address.read(this.props.search).month) this.refresh();
  }

  async refresh() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking, now = Date.now(), name = address.read(this.props.search).month || months(now, 1)[0], { from, to } = window(name);
    try {
      const [{ hours }, status] = await Promise.all([ask("hours", { from: String(from), to: String(to) }, signal), ask("status", {}, signal).catch(() => null)]);
      this.setState({ hours, name, now, status, trouble: "" });
      const projects = [...new Set(/** @type {Hours[]} */ (hours).map(({ project }) => project))];
      /** @type {Map<number, Recent>} */ const recent = new Map();
      await inTurn(projects.map(project => async () => { recent.set(project, await lastDay(project, signal)); }), AT_ONCE);
      this.setState({ recent });
    } catch (error) {
      if (!signal.aborted) this.setState({ trouble: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @param {number} project @returns {string} */
  nameOf(project) {
    return this.state.status?.projects?.find((/** @type {any} */ one) => one.id === project)?.name ?? `project ${project}`;
  }

  render() {
    const { search, go } = this.props, shown = address.read(search), { hours, name, now, recent, status, trouble } = this.state, all = months(now, MONTHS);
    const set = (/** @type {Partial<Shown>} */ change, isSmall = false) => go("usage", address.write({ ...shown, ...change }), isSmall);
    const month = hours ? this.month(name, hours, now) : null, budget = Number(shown.budget || remembered()) * HOUR, again = { text: "Try now", act: () => this.refresh() };
    const setBudget = (/** @type {string} */ value) => {
      const whole = String(Math.max(0, Math.round(Number(value) || 0)) || "");
      remember(whole);
      set({ budget: whole }, true);
    };
    const options = all.map(month => /** @type {[string, string]} */ ([month, monthName(month)]));
    const none = h(Nothing, { title: `No profiled hours in ${name && monthName(name)}`, text: "Nothing of it is kept, or nothing was profiled." });
    return [
      h("main", { key: "main", class: "usage" },
        h("section", { class: "usage-main", "aria-label": "Usage" },
          h("div", { class: "usage-head" }, h("h1", null, "Usage"), h("span", { class: "push" }),
            h(Choice, { name: "Month", chosen: shown.month || all[0], options, choose: month => set({ month: month === all[0] ? "" : month }) }),
            h("button", { type: "button", disabled: !month || month.us === 0, onClick: () => this.save() }, icon("export"), "CSV")),
          trouble ? h(Message, { level: "bad", title: "Not all of it could be asked.", text: trouble, action: again }) : null,
          month ? month.us > 0 ? this.charts(month, name, budget) : none : trouble ? null : h(Loading, { words: "Counting hours" })),
        h(Rail, { recent: [...recent.values()], days: status?.store?.days || DAYS, month, budget, shown, set, setBudget })),
      this.footer(month),
    ];
  }

  /** @param {Month} month @param {string} name @param {number} budget */
  charts(month, name, budget) {
    const { projects, days, byDay, pace, now, us, isOver } = month, so = sums(month), today = Math.max(0, so.findLastIndex(us => us !== null));
    const at = budget > 0 ? crossing(month, budget) : null, format = (/** @type {number} */ hours) => hoursOf(hours * HOUR);
    /** @type {{axis: "left", isDays: boolean, xs: number[], from: number, to: number, format: (hours: number) => string}} */
    const axes = { axis: "left", isDays: true, xs: byDay.map((_, day) => day + 1), from: 0.5, to: days + 0.5, format };
    /** @type {import("../chart/chart.js").Line[]} */
    const bars = projects.map(({ project, days }, place) => ({ name: this.nameOf(project), colour: colour(place), kind: "bars", values: inHours(days.map(us => us || null)) }));
    /** @type {import("../chart/chart.js").Line[]} */ const line = [{ name: "so far", colour: "cpu", values: inHours(so) }];
    const ends = byDay.map((_, day) => isOver || day < today ? null : day === today ? us : us + pace * (day + 1 - now));
    const shares = projects.map(({ project, us: of }) => `${this.nameOf(project)} ${percent(of, us)}`).join(", ");
    if (!isOver) {
      bars.push({ name: "expected", colour: "line2", kind: "bars", hatched: true, values: inHours(expected(month)) });
      line.push({ name: "at this pace", colour: "cpu", kind: "line", dashed: true, values: inHours(ends) });
    }
    /** @type {import("../chart/chart.js").Mark[]} */ const marks = [];
    if (budget > 0) marks.push({ y: budget / HOUR, text: `budget ${hoursOf(budget)}`, colour: "warn" });
    if (at !== null) marks.push({ x: Math.max(1, at), y: budget / HOUR, text: dayName(name, Math.floor(at) + 1), colour: "warn" });
    // Its words do not cover those of the day on which the budget is reached.
    if (!isOver) marks.push({ x: today + 1, y: us / HOUR, text: `today ${hoursOf(us)}`, isBelow: at !== null && Math.abs(at - today) < 6 });
    return [
      sentence(month, name, budget, at),
      h(Chart, {
        key: "days", title: "Profile hours a day", note: "days of UTC", height: 196, stacked: true, ...axes, summary: `${hoursOf(us)} in all, ${hoursOf(pace)} a day: ${shares}`,
        lines: bars,
      }),
      h(Chart, {
        key: "sum", title: "Total of the month", height: 150, ...axes, marks, legend: false, lines: line,
        summary: `${hoursOf(us)} so far${isOver ? "" : `, ${hoursOf(month.forecast)} at the end at this pace`}${budget > 0 ? `, budget ${hoursOf(budget)}` : ""}`,
      }),
      h(Table, { key: "table", month, recent: this.state.recent, nameOf: project => this.nameOf(project), colourOf: place => `var(--${colour(place)})` }),
    ];
  }

  /** @param {?Month} month */
  footer(month) {
    const { received, store } = this.state.status ?? {}, why = addressOf("refused", place.write(place.read(this.props.search)));
    return h("footer", { key: "status", "aria-label": "What the figures rest on" },
      h("span", null, month ? ["counted from ", h("b", null, count(month.profiles)), " profiles"] : "counting"),
      received ? h("span", null, "refused ", h("b", null, count(received.refused)), received.refused > 0 ? [" ", h("a", { href: why }, "see why")] : null) : null,
      store?.bytes != null ? h("span", null, "store ", h("b", null, bytes(store.bytes)), store.limit_bytes ? ` of ${bytes(store.limit_bytes)}` : "") : null);
  }

  save() {
    const { hours, name } = this.state, rows = (hours ?? []).filter(({ day }) => day.startsWith(name));
    const lines = [
      ["day", "project", "name", "platform", "profiles", "hours", "seconds_as_sentry_counts"],
      ...rows.map(({ day, project, platform, profiles, us, sentry_seconds }) => [day, project, this.nameOf(project), platform, profiles, (us / HOUR).toFixed(4), sentry_seconds]),
    ];
    saveFile(new Blob([lines.map(csvLine).join("\r\n") + "\r\n"], { type: "text/csv" }), `profile-hours-${name}.csv`);
  }
}

/** The last 24 h of a project. A month of them could be a great many processes. @param {number} project @param {AbortSignal} signal @returns {Promise<Recent>} */
async function lastDay(project, signal) {
  const day = { project, from: "-1d", to: "now" }, [services, quality] = await Promise.all([ask("services", day, signal), ask("quality", day, signal)]);
  /** @type {import("../data/services.js").Session[]} */ const sessions = services.sessions;
  const { most, sum } = cover(clipped(sessions, services.from_us, services.to_us));
  const of = (/** @type {"samples" | "bytes"} */ what) => sessions.reduce((sum, session) => sum + session[what], 0);
  return { instances: most, samples: of("samples"), bytes: of("bytes"), profiled_us: sum, agent_us: quality.agent_cpu_us, span_us: quality.span_us, ticks: quality.ticks };
}

/** @param {Month} month @param {string} name @param {number} budget @param {?number} at the day on which the budget is reached */
function sentence({ us, pace, forecast, isOver }, name, budget, at) {
  const b = (/** @type {string} */ text, level = "") => h("b", { class: level }, text), over = forecast - budget;
  const when = at === null ? "." : [isOver || us >= budget ? "; the line was crossed on " : "; the line is crossed on ", b(dayName(name, Math.floor(at) + 1)), "."];
  return h("p", { key: "sentence", class: "sentence" },
    b(`${hoursOf(us, "")} profile hours`), ` in ${monthName(name).split(" ")[0]}${isOver ? "" : " so far"}, `, b(`${hoursOf(pace)} a day`), ". ",
    isOver ? null : ["At this pace the month ends at ", b(hoursOf(forecast)), budget > 0 ? ", " : "."],
    budget > 0 ? [isOver ? "It was " : "", over > 0 ? b(`${hoursOf(over)} over`, "warn") : b(`${hoursOf(-over)} under`), ` the budget of ${hoursOf(budget)}`, when] : null);
}

/** @param {(number | null)[]} values microseconds */
const inHours = values => values.map(us => us === null ? null : us / HOUR);

/** The budget that was last given in this browser, hours. */
function remembered() {
  try { return localStorage.getItem(KEY) ?? ""; } catch { return ""; }
}

/** @param {string} hours */
function remember(hours) {
  try { if (hours === "") localStorage.removeItem(KEY); else localStorage.setItem(KEY, hours); } catch { /* a browser that keeps nothing */ }
}
