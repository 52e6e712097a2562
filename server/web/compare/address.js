// @ts-check
// What the page that compares shows, as its address says it. The place is side B, after; `a_...` is side A, before: what it does not say is as in B,
// and its time is the one right before.

import { asked, codec, flag, one, PLACE, text, texts } from "../shell/address.js";
import { secondsOf } from "../shell/time.js";

/** @type {("difference" | "both" | "b" | "a")[]} */
export const VIEWS = ["difference", "both", "b", "a"];
/** @type {("share" | "request" | "cores")[]} */
export const MEASURES = ["share", "request", "cores"];
/** @type {("change" | "name" | "a" | "b" | "noise")[]} */
export const SORTS = ["change", "name", "a", "b", "noise"];

/** By itself: on CPU, where that is known. @type {("" | "cpu" | "wall")[]} */
const CLOCKS = ["", "cpu", "wall"];

export const address = codec({
  ...PLACE, a_env: texts(), a_release: texts(), a_instance: texts(), a_from: text(), a_to: text(),
  view: one(VIEWS), measure: one(MEASURES), clock: one(CLOCKS), self: flag(), q: text(), rx: flag(), f: text(), z: text(), sort: one(SORTS),
});

/** @typedef {typeof address.first} Shown */
/** A side with its times worked out, seconds since 1970. @typedef {{env: string[], release: string[], instance: string[], from: number, to: number}} Side */

/** Both sides. @param {Shown} shown @param {number} [nowMs] @returns {{a: Side, b: Side}} */
export function sides(shown, nowMs = Date.now()) {
  const from = secondsOf(shown.from, nowMs), to = secondsOf(shown.to, nowMs), isOwn = shown.a_from !== "" && shown.a_to !== "";
  const or = (/** @type {string[]} */ own, /** @type {string[]} */ other) => own.length > 0 ? own : other;
  return {
    a: {
      env: or(shown.a_env, shown.env), release: or(shown.a_release, shown.release), instance: or(shown.a_instance, shown.instance),
      from: isOwn ? secondsOf(shown.a_from, nowMs) : from - (to - from), to: isOwn ? secondsOf(shown.a_to, nowMs) : from,
    },
    b: { env: shown.env, release: shown.release, instance: shown.instance, from, to },
  };
}

/** A side as the parameters of a question. @param {string} project @param {Side} side */
export function question(project, { from, to, ...side }) {
  return asked({ project, ...side, from: String(from), to: String(to) });
}

/** Both as those of `/difference`. @param {string} project @param {{a: Side, b: Side}} sides */
export function questionOfBoth(project, { a, b }) {
  const base = question(project, a);
  return { ...question(project, b), base_from: base.from, base_to: base.to, base_environment: base.environment, base_release: base.release, base_profiler: base.profiler };
}

/** A and B the other way round. Times that were worked out are written down. @param {Shown} shown @param {number} [nowMs] @returns {Shown} */
export function swapped(shown, nowMs = Date.now()) {
  const { a } = sides(shown, nowMs), isOwn = shown.a_from !== "" && shown.a_to !== "";
  return {
    ...shown, env: a.env, release: a.release, instance: a.instance, from: isOwn ? shown.a_from : a.from.toFixed(3), to: isOwn ? shown.a_to : a.to.toFixed(3),
    a_env: shown.env, a_release: shown.release, a_instance: shown.instance, a_from: shown.from, a_to: shown.to,
  };
}
