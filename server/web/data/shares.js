// @ts-check
// Time by state as the parts of a bar.

import { STATE_NAMES, shownState, stateOf } from "./states.js";

/** In the order of `STATE_NAMES`, also those without time. @param {Record<string, number>} us by state, or by class of states @returns {{state: string, name: string, colour: string, value: number}[]} */
export function shares(us) {
  const sums = Object.fromEntries(STATE_NAMES.map(state => [state, 0]));
  for (const [state, value] of Object.entries(us)) sums[stateOf(state)] += value;
  return STATE_NAMES.map(state => ({ state, name: shownState(state).words, colour: `var(--${shownState(state).colour})`, value: sums[state] }));
}

/** The sums of both. @param {Record<string, number>} a @param {Record<string, number>} b @returns {Record<string, number>} */
export function added(a, b) {
  const sums = { ...a };
  for (const [state, us] of Object.entries(b)) sums[state] = (sums[state] ?? 0) + us;
  return sums;
}
