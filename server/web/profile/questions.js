// @ts-check
// What the profile page asks, and when again: what its parameters are the same of is asked again only while the page is live.

import { ask, Refusal, seconds } from "../data/api.js";
import { asked } from "../shell/address.js";

const BUCKETS = 240;
/** Transactions and spans on the axis: the newest. */
const ITEMS = 2000;
const FUNCTIONS = 20000;
/** A question that took long is not put again before so many times as long has passed. */
const REST = 3;

/** @typedef {import("./address.js").Shown} Shown */
/** `every` so many turns of a live page. @typedef {{name: string, what: string, parameters: import("../data/api.js").Parameters, every: number}} Question */

/** The window that the rest of the page is of. @param {Shown} shown */
export function windowOf(shown) {
  return shown.w0 ? { from: seconds(shown.w0), to: seconds(shown.w1) } : { from: shown.from, to: shown.to };
}

/** @param {Shown} shown @param {boolean} wantsLines @returns {Question[]} */
export function questions(shown, wantsLines) {
  const span = asked(shown), { project, from, to } = span, sessions = { ...span, ...windowOf(shown) }, selected = { ...sessions, thread: shown.tid, mark: shown.mk };
  const states = shown.clock === "cpu" ? "on_cpu" : undefined, hasFunctions = shown.view === "functions" || wantsLines;
  return [
    { name: "cpu", what: "cpu", parameters: { ...span, buckets: BUCKETS, series: "false", split: "threads" }, every: 2 },
    { name: "tree", what: "tree", parameters: { ...selected, split: "states" }, every: 1 },
    { name: "services", what: "services", parameters: { project, from, to }, every: 5 },
    { name: "threads", what: "threads", parameters: sessions, every: 4 },
    { name: "marks", what: "marks", parameters: sessions, every: 5 },
    { name: "quality", what: "quality", parameters: sessions, every: 4 },
    { name: "transactions", what: "transactions/newest", parameters: { project, from, to, limit: ITEMS }, every: 5 },
    { name: "spans", what: "spans", parameters: { project, from, to, profiler: span.profiler, limit: ITEMS }, every: 5 },
    { name: "status", what: "status", parameters: {}, every: Infinity },
    ...hasFunctions ? [{ name: "functions", what: "functions", parameters: { ...selected, states, limit: FUNCTIONS }, every: 5 }] : [],
    ...wantsLines ? [{ name: "lines", what: "functions", parameters: { ...selected, states, lines: "true", limit: FUNCTIONS }, every: 5 }] : [],
  ];
}

/** Puts questions, each by itself, and tells the answers. */
export class Asker {
  /** @param {(name: string, body: any, ms: number) => void} answered @param {(name: string, error: Refusal) => void} refused */
  constructor(answered, refused) {
    this.answered = answered;
    this.refused = refused;
    /** What each was last asked with, whether it is still on its way, and when it may be put again. @type {Map<string, {key: string, isOpen: boolean, isNew: boolean, stop: AbortController, next: number}>} */ this.last = new Map();
  }

  /** @param {Question[]} list @param {number} tick 0: not a turn of a live page @returns {boolean} whether anything else than before is asked */
  ask(list, tick) {
    let isNew = false;
    for (const question of list) {
      const key = JSON.stringify(question.parameters), last = this.last.get(question.name), isSame = last?.key === key;
      if (isSame && (last.isOpen || tick === 0 || tick % question.every !== 0 || performance.now() < last.next)) continue;
      if (!isSame) last?.stop.abort();
      isNew ||= !isSame;
      this.put(question, key);
    }
    return isNew;
  }

  /** @param {Question} question @param {string} key */
  async put(question, key) {
    const stop = new AbortController(), turn = { key, isOpen: true, isNew: this.last.get(question.name)?.key !== key, stop, next: 0 }, began = performance.now();
    this.last.set(question.name, turn);
    try {
      const body = await ask(question.what, question.parameters, stop.signal);
      turn.isOpen = false;
      turn.next = performance.now() + (performance.now() - began) * REST;
      if (this.last.get(question.name) === turn) this.answered(question.name, body, performance.now() - began);
    } catch (error) {
      turn.isOpen = false;
      if (stop.signal.aborted) return;
      turn.key = "";
      this.refused(question.name, error instanceof Refusal ? error : new Refusal(String(error), -1));
    }
  }

  /** Whether what is on its way has other parameters than what is shown. @param {string} name */
  isStale(name) {
    const last = this.last.get(name);
    return last !== undefined && last.isOpen && last.isNew;
  }

  stop() {
    for (const { stop } of this.last.values()) stop.abort();
  }
}
