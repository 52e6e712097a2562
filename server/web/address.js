// @ts-check
// What the page shows, as its address says it: whoever is given the address sees the same.

import { read as pill, written } from "./pills.js";

/** Windows end now, so many seconds long; or begin and end at points in time (`w0`, `w1`, microseconds since 1970).
 *  @typedef {"flame" | "inverted" | "sandwich" | "functions"} View
 *  @typedef {{project: string, profiler: string, thread: string, window: string, w0: string, w1: string, states: "all" | "on_cpu", view: View, q: string, rx: boolean,
 *  f: string, fx: import("./pills.js").Pill[]}} Shown */

/** @type {Shown} */
export const FIRST = { project: "1", profiler: "", thread: "", window: "300", w0: "", w1: "", states: "all", view: "flame", q: "", rx: false, f: "", fx: [] };
/** @type {View[]} */
export const VIEWS = ["flame", "inverted", "sandwich", "functions"];

/** What is not understood is left out. @param {string} search `?a=b&...` @returns {Shown} */
export function read(search) {
  const query = new URLSearchParams(search);
  const text = (/** @type {"project" | "profiler" | "thread" | "q" | "f"} */ name) => query.get(name) ?? FIRST[name];
  const number = (/** @type {"window" | "w0" | "w1"} */ name) => /^\d{1,16}$/.test(query.get(name) ?? "") ? String(query.get(name)) : FIRST[name];
  const view = VIEWS.find(view => view === query.get("view")) ?? FIRST.view;
  const [w0, w1] = [number("w0"), number("w1")];
  const isWindow = w0 !== "" && Number(w0) < Number(w1);
  return {
    project: text("project"), profiler: text("profiler"), thread: text("thread"), window: number("window"),
    w0: isWindow ? w0 : "", w1: isWindow ? w1 : "", states: query.get("states") === "on_cpu" ? "on_cpu" : "all",
    view, q: text("q"), rx: query.get("rx") === "1", f: text("f"), fx: query.getAll("fx").flatMap(text => pill(text) ?? []),
  };
}

/** Only what differs from what a new page shows. @param {Shown} shown @returns {string} `?a=b&...` */
export function write(shown) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(shown)) {
    if (Array.isArray(value)) value.forEach(pill => query.append(name, written(pill)));
    else if (value !== FIRST[/** @type {keyof Shown} */ (name)]) query.set(name, value === true ? "1" : String(value));
  }
  return "?" + query;
}
