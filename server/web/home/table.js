// @ts-check
// Services, one a row: CPU, profiled hours, top functions, and how far that can be trusted.

import { h } from "../vendor/preact.js";
import { spark } from "../chart/scale.js";
import { dotOfFunc } from "../data/colour.js";
import { cores, hours, percent } from "../data/format.js";
import { platformName, version } from "../data/services.js";
import { addressOf, place } from "../shell/address.js";
import { icon } from "../shell/icons.js";
import { plainClick } from "../shell/link.js";
import { bar, chip, dot } from "../shell/parts.js";
import { isProduction, many } from "./words.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./questions.js").Figures} Figures */
/** @typedef {import("../data/services.js").Service} Service */
/** @typedef {{services: Service[], figures: Map<string, Figures>, shown: Shown, projectName: (project: string) => string, colourOf: (service: Service) => string,
 *  sortBy: (sort: Shown["sort"]) => void, open: (search: string) => void}} Props */

const SPARK = { width: 168, height: 34 };
/** Functions that are shown of each. */
const TOP = 3;

/** @param {Props} props */
export function Table(props) {
  const { services, figures, shown, sortBy } = props;
  const shares = services.flatMap(({ key }) => figures.get(key)?.top?.map(({ us, all }) => us / Math.max(1, all)) ?? []);
  const head = (/** @type {Shown["sort"]} */ sort, /** @type {string} */ text, more = "") =>
    h("th", { scope: "col", class: more, "aria-sort": shown.sort !== sort ? "none" : sort === "name" ? "ascending" : "descending" },
      h("button", { type: "button", onClick: () => sortBy(sort) }, text));
  return h("table", { class: "services", onKeyDown: step },
    h("colgroup", null, ["c-name", "c-cpu", "c-profiled", "c-top", "c-quality"].map(name => h("col", { key: name, class: name }))),
    h("thead", null, h("tr", null, head("name", "Service"), head("cpu", "CPU, cores"), head("profiled", "Profiled", "figure"),
      h("th", { scope: "col" }, "Top functions by self time"), h("th", { scope: "col", class: "c-quality" }, "Data quality"))),
    h("tbody", null, services.map(service => row(service, /** @type {Figures} */ (figures.get(service.key)), Math.max(0.001, ...shares), props))));
}

/** @param {Service} service @param {Figures} figures @param {number} most the largest share of all rows @param {Props} props */
function row(service, { values, hasStates, cores: used, top, quality }, most, { shown, projectName, colourOf, open }) {
  const { key, name, environment, project, release, instances, platforms, profiled_us } = service, search = place.write({ ...shown, ...service.place });
  const more = [projectName(project), version(release), many(instances, "instance"), platforms.map(platformName).join(", ")].filter(Boolean);
  return h("tr", { key, onClick: plainClick(() => open(search)) },
    h("td", null,
      h("div", { class: "service" }, dot(colourOf(service)), h("a", { href: addressOf("profile", search), title: name }, h("bdi", null, name)),
        environment === null ? null : chip(environment, isProduction(environment) ? "" : "warn")),
      h("div", { class: "service-more clip", title: more.join(" · ") }, more.map((text, at) => [at > 0 ? " · " : "", h("bdi", null, text)]))),
    h("td", null,
      h("div", { class: "service-cpu", title: hasStates ? "Mean of the time in which it was profiled" : "The profiles have no CPU states: threads that were not idle" },
        sparkline(values, hasStates), h("span", null, h("b", null, cores(used)), hasStates ? null : h("small", null, "threads")))),
    h("td", { class: "figure" }, hours(profiled_us)),
    h("td", null, top ? top.slice(0, TOP).map((one, at) => topFunction(one, most, at)) : h("div", { class: "loading-cell" })),
    h("td", { class: "c-quality" }, quality ? verdict(quality) : null));
}

/** @param {(number | null)[]} values @param {boolean} hasStates */
function sparkline(values, hasStates) {
  const { width, height } = SPARK, { line, area } = spark(values, width, height);
  return h("svg", { class: "spark" + (hasStates ? "" : " unknown"), width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    h("path", { class: "area", d: area }), h("path", { class: "line", d: line }));
}

/** @param {import("./questions.js").Top} top @param {number} most @param {number} at */
function topFunction({ func, us, all }, most, at) {
  const colour = dotOfFunc(func);
  return h("div", { key: at, class: "top-function" }, dot(colour), h("bdi", { class: "clip", title: func.name }, func.name),
    bar(us * 100 / Math.max(1, all), most * 100, colour), h("span", { class: "figure" }, percent(us, all)));
}

/** @param {import("../data/quality.js").Verdict} verdict */
function verdict({ level, words }) {
  const sign = level === "bad" ? icon("warn") : h("span", { class: "sign", "aria-hidden": "true" });
  return h("span", { class: `verdict ${level}`, title: words }, sign, h("span", { class: "clip" }, words));
}

/** Arrows go from service to service. @param {KeyboardEvent} event */
function step(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], table = /** @type {HTMLElement} */ (event.currentTarget);
  if (!by) return;
  const links = [...table.querySelectorAll("tbody a")], at = links.findIndex(link => link === document.activeElement), to = links[at + by];
  if (at >= 0 && to instanceof HTMLElement) { event.preventDefault(); to.focus(); }
}
