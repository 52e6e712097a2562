// @ts-check
// Beside the usage: what a fleet would take, and the budget.

import { h } from "../vendor/preact.js";
import { bytes, count, percent } from "../data/format.js";
import { estimate } from "./month.js";
import { hoursOf, whole } from "./words.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./month.js").Month} Month */
/** What is known of a project's last day.
 *  @typedef {{instances: number, samples: number, bytes: number, profiled_us: number, agent_us: number, span_us: number, ticks: number}} Recent */
/** `budget` in microseconds, 0 for none; `days` that are kept.
 *  @typedef {{recent: Recent[], days: number, month: ?Month, budget: number, shown: Shown, set: (change: Partial<Shown>, isSmall?: boolean) => void,
 *  setBudget: (hours: string) => void}} Props */

/** Hours of a month of 365 / 12 days. */
const MONTH_HOURS = 730;
const RATE_HZ = 101;
const MOST = 1e9;

/** @param {Props} props */
export function Rail(props) {
  return h("aside", { class: "usage-rail", "aria-label": "Estimate and budget" }, fleet(props), budget(props));
}

/** What own profiles of the last day say. @param {Recent[]} recent */
function measured(recent) {
  const sum = (/** @type {keyof Recent} */ what) => recent.reduce((sum, of) => sum + of[what], 0), seconds = sum("profiled_us") / 1e6;
  const rate = sum("span_us") > 0 ? Math.round(sum("ticks") * 1e6 / sum("span_us")) || RATE_HZ : RATE_HZ, isKnown = sum("samples") > 0 && seconds > 0;
  return {
    instances: Math.max(1, sum("instances")), rate, threads: isKnown ? Number(Math.max(0.1, sum("samples") / (seconds * rate)).toPrecision(2)) : 1,
    bytesASample: isKnown ? sum("bytes") / sum("samples") : 0, agent: sum("span_us") > 0 ? sum("agent_us") / sum("span_us") : null,
  };
}

/** @param {Props} props */
function fleet({ recent, days, shown, set }) {
  const own = measured(recent), { bytesASample, agent } = own;
  const number = (/** @type {string} */ text, /** @type {number} */ usual) => text === "" || !Number.isFinite(Number(text)) ? usual : Math.min(MOST, Math.max(0, Number(text)));
  const instances = number(shown.instances, own.instances), hours = number(shown.hours, MONTH_HOURS), share = number(shown.share, 100) / 100;
  const rate = number(shown.rate, own.rate), threads = number(shown.threads, own.threads), all = estimate({ instances, hours, share, rate, threads, bytesASample, days });
  const field = (/** @type {"instances" | "hours" | "share" | "rate" | "threads"} */ name, /** @type {string} */ text, /** @type {number} */ value, unit = "") =>
    entry(text, value, unit, name === "threads" ? "any" : 1, value => set({ [name]: value }, true));
  const isMeasured = bytesASample > 0;
  return h("section", null, h("h2", null, "Estimate for a fleet"),
    field("instances", "Instances", instances), field("hours", "Hours a month, each", hours, "h"), field("share", "Share of instances profiled", Math.round(share * 100), "%"),
    field("rate", "Rate", rate, "Hz"), field("threads", "Threads with a new stack, mean", threads),
    h("dl", null,
      h("dt", null, "Profile hours a month"), h("dd", null, hoursOf(all.hours * 3600e6)),
      h("dt", null, `On disk, ${days} days`), h("dd", null, isMeasured ? bytes(all.bytes) : "not known yet"),
      h("dt", null, "CPU of the agent, each process"), h("dd", null, agent === null ? "not known yet" : `${percent(agent, 1)} of a core`)),
    h("p", { class: "usage-words" }, `${count(hours)} h × ${count(instances)} instances × ${whole(share)} = ${hoursOf(all.hours * 3600e6)}. `, isMeasured
      ? [`Disk: these hours × 3,600 s × ${count(rate)} Hz × ${threads} threads × ${bytesASample.toFixed(2)} B a sample, kept for ${days} days. `,
        "Bytes, threads and the agent's CPU are as measured on your own profiles of the last 24 h. A thread whose stack stays the same takes next to nothing."]
      : "Nothing was profiled in the last 24 h: how much a sample takes is not known."));
}

/** @param {Props} props */
function budget({ month, budget, setBudget }) {
  return h("section", null, h("h2", null, "Budget"), entry("Hours a month", budget > 0 ? budget / 3600e6 : "", "h", 1, setBudget),
    h("p", { class: "usage-words" }, month && month.us > 0 ? advice(month, budget) : ""));
}

/** How to stay inside a budget. @param {Month} month @param {number} budget */
function advice({ isOver, forecast, us, days, now }, budget) {
  if (budget === 0) return "Without a budget nothing is said to be too much. It is kept in this browser and in the address.";
  if (isOver) return "";
  const left = forecast - us, share = left > 0 ? (budget - us) / left : 1;
  if (share >= 1) return "At this pace the month stays inside.";
  if (share <= 0) return `It was used up with ${Math.ceil(days - now)} days to go.`;
  return `To stay inside, profile ${whole(Math.floor(share * 100) / 100)} of the instances from now on, or each for ${Math.floor(share * 60)} minutes of each hour.`;
}

/** @param {string} text @param {number | ""} value @param {string} unit @param {number | "any"} step @param {(value: string) => void} choose */
function entry(text, value, unit, step, choose) {
  const onChange = (/** @type {any} */ event) => choose(event.currentTarget.value);
  return h("label", { key: text }, text, h("span", { class: "unit" }, h("input", { type: "number", min: 0, step, placeholder: "none", value: String(value), onChange }), unit));
}
