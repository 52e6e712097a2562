// @ts-check
// The profiled hours of a month: by day and project, at which pace they grow, and when they reach a budget. Days are those of UTC.

/** As `/hours` answers. @typedef {{project: number, day: string, platform: string, profiles: number, us: number, sentry_seconds: number}} Hours */
/** `us` by day of the month, and in all. @typedef {{project: number, days: number[], us: number, profiles: number, sentry_seconds: number}} Project */
/** `days` of the month; `now`, how many of them are over, with a fraction. `pace` is microseconds a day, over `since` days.
 *  @typedef {{days: number, now: number, projects: Project[], us: number, profiles: number, byDay: number[], pace: number, since: number, forecast: number, isOver: boolean}} Month */

const DAY_MS = 86400e3;

/** Where a month begins and ends, seconds. @param {string} month `2026-11` */
export function window(month) {
  const [year, of] = month.split("-").map(Number);
  return { from: Date.UTC(year, of - 1) / 1000, to: Date.UTC(year, of) / 1000 };
}

/** The months up to now, the newest first. @param {number} nowMs @param {number} many */
export function months(nowMs, many) {
  const now = new Date(nowMs);
  return Array.from({ length: many }, (_, back) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back)).toISOString().slice(0, 7));
}

/** `November 2026`. @param {string} month */
export function monthName(month) {
  return new Date(window(month).from * 1000).toLocaleDateString("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
}

/** `28 November`. @param {string} month @param {number} day */
export function dayName(month, day) {
  return new Date(window(month).from * 1000 + (day - 1) * DAY_MS).toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });
}

/** @param {string} month @param {Hours[]} hours @param {number} nowMs @returns {Month} */
export function monthOf(month, hours, nowMs) {
  const { from, to } = window(month), days = Math.round((to - from) * 1000 / DAY_MS), now = Math.min(days, Math.max(0, (nowMs - from * 1000) / DAY_MS));
  /** @type {Map<number, Project>} */ const of = new Map();
  for (const { project, day, us, profiles, sentry_seconds } of hours) {
    if (!day.startsWith(month)) continue;
    const at = of.get(project) ?? { project, days: new Array(days).fill(0), us: 0, profiles: 0, sentry_seconds: 0 };
    of.set(project, at);
    at.days[Number(day.slice(8)) - 1] += us;
    at.us += us;
    at.profiles += profiles;
    at.sentry_seconds += sentry_seconds;
  }
  const projects = [...of.values()].sort((a, b) => b.us - a.us || a.project - b.project);
  const byDay = Array.from({ length: days }, (_, day) => projects.reduce((sum, project) => sum + project.days[day], 0)), us = byDay.reduce((sum, us) => sum + us, 0);
  // Days before the first profile say nothing of the pace, nor does a day that is not over, unless there is no other.
  const first = Math.max(0, byDay.findIndex(us => us > 0)), whole = Math.floor(now) - first, since = whole > 0 ? whole : Math.max(0, now - first);
  const pace = since > 0 ? (whole > 0 ? byDay.slice(first, Math.floor(now)).reduce((sum, us) => sum + us, 0) : us) / since : 0;
  return { days, now, projects, us, profiles: projects.reduce((sum, { profiles }) => sum + profiles, 0), byDay, pace, since, forecast: us + pace * (days - now), isOver: now >= days };
}

/** Profiled time at the end of each day, so far. @param {Month} month @returns {(number | null)[]} */
export function sums({ byDay, now }) {
  let sum = 0;
  return byDay.map((us, day) => day <= now && now > 0 ? sum += us : null);
}

/** What is still to come of each day at this pace. @param {Month} month @returns {(number | null)[]} */
export function expected({ byDay, now, pace, isOver }) {
  return byDay.map((us, day) => isOver || day < Math.floor(now) ? null : Math.max(0, pace - us));
}

/** The day of the month, with a fraction, on which a budget is reached; `null`: not in this month. @param {Month} month @param {number} budget microseconds */
export function crossing({ us, byDay, pace, now, days }, budget) {
  let sum = 0;
  for (const [day, of] of byDay.entries()) {
    if (of > 0 && sum + of >= budget) return day + (budget - sum) / of;
    sum += of;
  }
  const at = pace > 0 ? now + (budget - us) / pace : Infinity;
  return at < days ? at : null;
}

/** What a fleet would take. `hours` a month of each; `days` that are kept.
 *  @param {{instances: number, hours: number, share: number, rate: number, threads: number, bytesASample: number, days: number}} fleet */
export function estimate({ instances, hours, share, rate, threads, bytesASample, days }) {
  const all = instances * hours * share;
  return { hours: all, bytes: all * days / 30 * 3600 * rate * threads * bytesASample };
}

/** A line of comma-separated values; what a spreadsheet would take for a formula is not one. @param {(string | number)[]} values */
export function csvLine(values) {
  return values.map(value => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
  }).join(",");
}
