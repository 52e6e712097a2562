// @ts-check
// Beside the services: the hottest functions of all of them, what releases changed, and how to add one.

import { h } from "../vendor/preact.js";
import { dotOfFunc } from "../data/colour.js";
import { cores, points } from "../data/format.js";
import { version } from "../data/services.js";
import { keyOf } from "../data/tree.js";
import { place } from "../shell/address.js";
import { leadsTo } from "../shell/link.js";
import { Copy, dot } from "../shell/parts.js";
import { Command } from "./first.js";
import { command } from "./words.js";

/** @typedef {import("../data/services.js").Service} Service */
/** @typedef {import("../data/tree.js").Func} Func */
/** @typedef {import("../shell/address.js").Place} Place */
/** @typedef {{services: Service[], figures: ?Map<string, import("./questions.js").Figures>, at: Place, status: any, go: (page: import("../shell/address.js").PageName, search: string) => void,
 *  say: (words: string) => void}} Props `figures`: nothing before anything is known */

const ROWS = 6;

/** @param {Props} props */
export function Rail(props) {
  return h("aside", { class: "rail", "aria-label": "Over all services" }, hottest(props), changed(props), add(props));
}

/** @param {Props} props */
function hottest({ services, figures, at, go }) {
  const all = services.flatMap(service => figures?.get(service.key)?.hasStates ? [{ service, of: figures.get(service.key) }] : []);
  const rows = all.flatMap(({ service, of }) => (of?.top ?? []).map(({ func, us, all }) => ({ service, func, used: us / Math.max(1, all) * (of?.cores ?? 0) })));
  rows.sort((a, b) => b.used - a.used);
  const isNone = figures !== null && all.length === 0;
  return h("section", null, h("h2", null, "Hottest functions", h("small", null, "self, all services")),
    h("ul", null, rows.slice(0, ROWS).map(({ service, func, used }) => h("li", { key: service.key + keyOf(func) }, dot(dotOfFunc(func)),
      link("profile", functionSearch(place.write({ ...at, ...service.place }), func), func.name, service.name, go),
      h("span", { class: "figure" }, cores(used), h("small", null, "cores"))))),
    isNone ? h("p", { class: "rail-words" }, "No profile of this window says what ran on a CPU.") : null);
}

/** @param {Props} props */
function changed({ services, figures, at, go }) {
  const rows = services.flatMap(service => (figures?.get(service.key)?.changes ?? []).map(change => ({ service, ...change })));
  rows.sort((a, b) => Math.abs(b.difference) - Math.abs(a.difference));
  const released = services.filter(({ before }) => before !== null), isAsked = released.every(({ key }) => figures?.get(key)?.changes);
  const words = !figures || !isAsked ? ""
    : rows.length > 0 ? "Shown only where the change of the function's self time is larger than the sampling noise (95 %). pt: points of the service's time."
      : released.length > 0 ? "Nothing beyond the sampling noise (95 %)." : "Each service has one release in this window.";
  return h("section", null, h("h2", null, "Changed since the last release"),
    h("ul", null, rows.slice(0, ROWS).map(({ service, func, difference }) => h("li", { key: service.key + keyOf(func) },
      link("compare", compareSearch(service, at, func), func.name, `${service.name} ${version(service.release)}`, go),
      h("span", { class: "figure change " + (difference > 0 ? "more" : "less") }, points(difference))))),
    h("p", { class: "rail-words" }, words));
}

/** @param {Props} props */
function add({ status, say }) {
  const run = command(status?.projects?.[0]?.dsn, `--pid ${status?.machine?.processes?.[0]?.pid ?? "PID"}`);
  return h("section", null, h("h2", null, "Add a service"), h("p", null, "Profile a process that runs on this machine:"),
    h("div", { class: "command" }, h(Command, { run }), h(Copy, { text: run, name: "Copy the command", class: "quiet square", say })));
}

/** @param {"profile" | "compare"} page @param {string} search @param {string} name @param {string} more @param {Props["go"]} go */
function link(page, search, name, more, go) {
  return h("a", { ...leadsTo(page, search, go), class: "rail-name", title: name }, h("bdi", { class: "clip" }, name), h("small", { class: "clip" }, more));
}

/** @param {string} search @param {Func} func */
function functionSearch(search, func) {
  const query = new URLSearchParams(search);
  query.set("f", keyOf(func));
  query.set("view", "sandwich");
  return "?" + query;
}

/** The last release beside the one before it, over the same time. @param {Service} service @param {Place} at @param {Func} func */
function compareSearch({ place: { project, env }, release, before }, { from, to }, func) {
  const query = new URLSearchParams(place.write({ ...place.first, project, env, release: [release ?? ""], from, to }));
  for (const [name, value] of [["a_release", before ?? ""], ["a_from", from], ["a_to", to], ["f", keyOf(func)]]) query.set(name, value);
  return "?" + query;
}
