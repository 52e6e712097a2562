// @ts-check
// Figures of the page of usage as people read them.

import { count } from "../data/format.js";

const NARROW = "\u202f";

/** Hours, whole ones from ten on. @param {number} us */
export function hoursOf(us, unit = `${NARROW}h`) {
  const hours = us / 3600e6;
  return (hours === 0 || hours >= 9.95 ? count(hours) : hours >= 0.995 ? hours.toFixed(1) : hours.toFixed(2)) + unit;
}

/** @param {number} share */
export const whole = share => `${Math.round(share * 100)}${NARROW}%`;
