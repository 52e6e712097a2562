// @ts-check
// What threads did with their time: the states by their names, and sums of them.

import { parents, sums } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */

/** In the order of bars and legends. `colour` is a token of the stylesheet. @type {{name: string, words: string, colour: string}[]} */
const STATES = [
  { name: "on_cpu", words: "on CPU", colour: "running" },
  { name: "runnable", words: "waits for a CPU", colour: "d7" },
  { name: "lock", words: "waits for the GIL", colour: "gil" },
  { name: "sleeping", words: "sleeps or waits", colour: "sleep" },
  { name: "unknown", words: "state not known", colour: "line2" },
];

export const STATE_NAMES = STATES.map(({ name }) => name);

/** @type {Record<string, string>} */
const GROUPS = {
  on_cpu: "on_cpu", on_cpu_with_lock: "on_cpu", runnable: "runnable", runnable_with_lock: "runnable", lock: "lock", awaits_lock: "lock",
  sleeping: "sleeping", sleeping_with_lock: "sleeping",
};

/** The state that a class of them, as the API has it, belongs to. @param {string} class_ */
export const stateOf = class_ => Object.hasOwn(GROUPS, class_) ? GROUPS[class_] : "unknown";

/** How a state is shown. @param {string} name */
export const shownState = name => STATES.find(state => state.name === name) ?? STATES[STATES.length - 1];

/** Whether anything is known of the states in a tree: Sentry's SDKs send none. @param {Tree} tree */
const isKnown = ({ states }) => (states ?? []).some(({ name }) => name !== "unknown");

/** The time in each state of the nodes from `from` until before `to`, most first; `null`: states are not known. @param {Tree} tree @param {number} from @param {number} to
 *  @returns {?{name: string, us: number}[]} */
export function between(tree, from, to) {
  if (!isKnown(tree)) return null;
  const rows = (tree.states ?? []).map(({ name, own }) => {
    let us = 0;
    for (let node = from; node < to; node++) us += own[node];
    return { name, us };
  });
  return rows.filter(({ us }) => us > 0).sort((a, b) => b.us - a.us);
}

/** How much of a node's own time is spent waiting where it counts as a wait; and how much of its time has to be its own. */
const WAITS = 0.95, OWN = 0.5;

/** By node, 1: it did nothing but wait. At least half of its time is its own, and nearly all of that neither on a CPU nor ready to run; `null`: states are not known.
 *  @param {Tree} tree @returns {?Uint8Array} */
export function waiting(tree) {
  const { own, total, depth, states, isInverted } = tree, many = depth.length;
  if (!states || !isKnown(tree)) return null;
  const out = new Uint8Array(many), waits = new Float64Array(many);
  for (const state of states) if (state.name === "lock" || state.name === "sleeping") for (let node = 0; node < many; node++) waits[node] += state.own[node];
  // Upside down the roots took the time, which stands at the far ends of their callers.
  const waited = isInverted ? sums(parents(tree), waits) : waits;
  for (let node = 0; node < many; node++) {
    const mine = !isInverted ? own[node] : depth[node] === 0 ? total[node] : 0;
    out[node] = mine > 0 && mine >= total[node] * OWN && waited[node] >= mine * WAITS ? 1 : 0;
  }
  return out;
}

/** By node, the place in `tree.states` of the state that most of its time was in; `null`: states are not known. @param {Tree} tree @returns {?Uint8Array} */
export function mostly(tree) {
  if (!tree.states || !isKnown(tree)) return null;
  const parent = parents(tree), out = new Uint8Array(parent.length), most = new Float64Array(parent.length);
  tree.states.forEach(({ own }, state) => {
    const total = sums(parent, own);
    for (let node = 0; node < total.length; node++) if (total[node] > most[node]) { most[node] = total[node]; out[node] = state; }
  });
  return out;
}
