// @ts-check
// How far profiles may be trusted, in few words: the worst of it.

import { percent } from "./format.js";

/** As `/quality` answers. Counts are numbers, or numbers by reason.
 *  @typedef {{profiles: number, span_us: number, ticks: number, ticks_asked: number, agent_cpu_us: number, counters: Record<string, number | Record<string, number>>,
 *  covers?: {profiles: number, damaged: unknown[]}}} Quality */
/** @typedef {{level: "ok" | "warn" | "bad" | "none", words: string}} Verdict */

/** A count, or counts by reason. @param {number | Record<string, number> | undefined} counted */
export function sum(counted) {
  return typeof counted === "object" ? Object.values(counted).reduce((all, one) => all + one, 0) : counted ?? 0;
}

/** Shares of samples from which a count is a warning, and bad.
 *  @type {Record<string, [number, number]>} */
const LIMITS = { truncated: [0.01, 0.1], guessed: [0.01, 0.1], late: [0.005, Infinity] };
/** Of what was not taken, or thrown away. @type {[number, number]} */
const LOST = [0.005, Infinity];
/** Shares of the ticks that were asked for, below which they are bad, and a warning. */
const TICKS_BAD = 0.8, TICKS_WARN = 0.95;

/** How bad a share of all samples is. @param {string} name of the counter @param {number} share @returns {"" | "warn" | "bad"} */
export function levelOf(name, share) {
  const [warn, bad] = LIMITS[name] ?? LOST;
  return share > bad ? "bad" : share > warn ? "warn" : "";
}

/** How bad a share of the ticks that were asked for is. @param {number} reached @returns {"" | "warn" | "bad"} */
export function rateLevel(reached) {
  return reached < TICKS_BAD ? "bad" : reached < TICKS_WARN ? "warn" : "";
}

/** Ticks a second. @param {Quality} quality */
export const rate = ({ ticks, span_us }) => ticks * 1e6 / Math.max(1, span_us);

/** @param {Quality} quality @returns {Verdict} */
export function worst(quality) {
  const { profiles, ticks, ticks_asked, span_us, counters, covers } = quality;
  const damaged = covers?.damaged.length ?? 0;
  if (damaged > 0) return { level: "bad", words: `${damaged} of ${damaged + (covers?.profiles ?? 0)} chunks cannot be read` };
  if (profiles === 0) return { level: "none", words: "not said by the SDK" };
  const reached = ticks / Math.max(1, ticks_asked), hz = rate(quality).toFixed(1);
  /** How far beyond its limit each is; a bad one is beyond any warning. @type {(Verdict & {by: number})[]} */ const found = [];
  const asked = (ticks_asked * 1e6 / Math.max(1, span_us)).toFixed(0);
  const slow = rateLevel(reached);
  if (slow) found.push({ level: slow, words: `rate ${hz} of ${asked}\u202fHz`, by: (1 - reached) / (1 - TICKS_WARN) });
  for (const [name, [warn]] of Object.entries(LIMITS)) {
    const many = sum(counters[name]), share = many / Math.max(1, sum(counters.samples)), level = levelOf(name, share);
    if (level) found.push({ level, words: `${name} ${percent(many, sum(counters.samples))}`, by: share / warn });
  }
  found.sort((a, b) => Number(b.level === "bad") - Number(a.level === "bad") || b.by - a.by);
  return found.length > 0 ? { level: found[0].level, words: found[0].words } : { level: "ok", words: `${hz}\u202fHz` };
}
