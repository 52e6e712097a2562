// @ts-check
// The head of a side: what is selected and when, with what it took around that time.

import { h } from "../vendor/preact.js";
import { Chart } from "../chart/chart.js";
import { cores } from "../data/format.js";
import { icon } from "../shell/icons.js";
import { Choice } from "../shell/parts.js";
import { TimeRange } from "../shell/time.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./questions.js").Known} Known */
/** @typedef {{name: "A" | "B", side: import("./address.js").Side, known: ?Known, projects: [string, string][], shown: Shown, set: (change: Partial<Shown>) => void}} Props */

/** Stands for profiles without an environment or release, and for more than one, in a list of choices. */
const NONE = "\u0000", MANY = "\u0001";
/** Another project has other environments, releases and processes. @type {Partial<Shown>} */
const ALL = { env: [], release: [], instance: [], a_env: [], a_release: [], a_instance: [] };

/** @param {Props} props */
export function Head({ name, side, known, projects, shown, set }) {
  const isA = name === "A", sessions = known?.sessions ?? [], own = isA ? shown.a_instance : shown.instance, of = (/** @type {string} */ text) => `${text} of ${name}`;
  const environment = listed("environment", sessions.map(({ environment }) => environment ?? ""), isA ? shown.a_env : shown.env, isA && shown.env.length > 0);
  const release = listed("release", sessions.map(({ release }) => release ?? ""), isA ? shown.a_release : shown.release, isA && shown.release.length > 0);
  const isOwnTime = shown.a_from !== "" && shown.a_to !== "";
  const time = !isA ? { from: shown.from, to: shown.to } : isOwnTime ? { from: shown.a_from, to: shown.a_to } : { from: side.from.toFixed(0), to: side.to.toFixed(0) };
  const setTime = (/** @type {string} */ from, /** @type {string} */ to) => set(isA ? { a_from: from, a_to: to } : { from, to });
  return h("section", { class: "side " + name.toLowerCase(), "aria-label": `Side ${name}, ${isA ? "before" : "after"}` },
    h("div", { class: "side-head" }, h("span", { class: "badge", "aria-hidden": "true" }, name),
      !isA && projects.length > 1 ? h(Choice, { name: "Project", chosen: shown.project, options: projects, choose: project => set({ ...ALL, project }) }) : null,
      h(Choice, { name: of("Release"), ...release, choose: read(value => set(isA ? { a_release: value } : { release: value })) }),
      h(Choice, { name: of("Environment"), ...environment, choose: read(value => set(isA ? { a_env: value } : { env: value })) }),
      own.length === 0 ? h("span", { class: "side-more clip" }, known ? `${known.instances} instance${known.instances === 1 ? "" : "s"}` : "")
        : h("button", {
          type: "button", "aria-label": `Take away from ${name}: only ${own.length} processes`, title: "Take away: only these processes",
          onClick: () => set(isA ? { a_instance: [] } : { instance: [] }),
        }, `${own.length} of its processes`, icon("close")),
      h("span", { class: "push" }, h(TimeRange, { ...time, choose: setTime }))),
    h("div", { class: "side-chart" }, known ? chart(name, side, known, setTime) : null));
}

/** The values to choose among, and what is said without any.
 *  @param {string} word @param {string[]} seen @param {string[]} own @param {boolean} isOther whether the other side's hold without own ones
 *  @returns {{chosen: string, options: [string, string][]}} */
function listed(word, seen, own, isOther) {
  const all = [...new Set([...seen, ...own])].sort(), title = word[0].toUpperCase() + word.slice(1);
  /** @type {[string, string][]} */ const options = [["", isOther ? `${title} as in B` : `All ${word}s`]];
  if (own.length > 1) options.push([MANY, `${own.length} ${word}s`]);
  for (const value of all) options.push([value || NONE, value || `no ${word}`]);
  return { chosen: own.length === 0 ? "" : own.length > 1 ? MANY : own[0] || NONE, options };
}

/** @param {(values: string[]) => void} choose @returns {(value: string) => void} */
function read(choose) {
  return value => { if (value !== MANY) choose(value === "" ? [] : [value === NONE ? "" : value]); };
}

/** @param {"A" | "B"} name @param {import("./address.js").Side} side @param {Known} known @param {(from: string, to: string) => void} setTime */
function chart(name, side, { values, hasStates, from, to }, setTime) {
  const most = Math.max(0, ...values.map(value => value ?? 0)), unit = hasStates ? "cores" : "threads that were not idle";
  return h(Chart, {
    title: `CPU around side ${name}`, summary: `up to ${cores(most)} ${unit}`, bare: true, height: 40, format: cores, from, to,
    xs: values.map((_, at) => from + (at + 0.5) * (to - from) / values.length), lines: [{ name: unit, colour: hasStates ? "cpu" : "sleep", values }],
    window: { from: side.from, to: side.to, colour: name === "A" ? "ink2" : "acc" }, select: (from, to) => setTime(from.toFixed(3), to.toFixed(3)),
  });
}
