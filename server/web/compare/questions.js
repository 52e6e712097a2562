// @ts-check
// What the page that compares asks, of each side and of both.

import { ask, func } from "../data/api.js";
import { load } from "../data/load.js";
import { inTurn } from "../data/pool.js";
import { clipped, cover } from "../data/services.js";
import { question, questionOfBoth, sides } from "./address.js";
import { trees } from "./measure.js";

/** @typedef {import("./address.js").Side} Side */
/** @typedef {import("../data/services.js").Session} Session */
/** What is known of one side. The chart's `values` are from `from` to `to`, more than the side's own time. `requests`: those with a profile, where the
 *  transactions of that time are all of the selection; else nothing.
 *  @typedef {{side: Side, sessions: Session[], instances: number, seconds: number, values: (number | null)[], hasStates: boolean, from: number, to: number,
 *  quality: import("../data/quality.js").Quality, requests: ?number}} Known */
/** @typedef {{a: Known, b: Known, trees: {a: import("../data/tree.js").Tree, b: import("../data/tree.js").Tree}, totals: import("./measure.js").Totals,
 *  isCpu: boolean, damaged: number}} Data */

const BUCKETS = 150;
/** Questions of each side at a time. */
const AT_ONCE = 2;

/** @param {import("./address.js").Shown} shown @param {AbortSignal} signal @returns {Promise<Data>} */
export async function compare(shown, signal) {
  const { project } = shown, both = sides(shown);
  const [a, b] = await Promise.all([about(project, both.a, signal), about(project, both.b, signal)]);
  const isCpu = shown.clock === "" ? a.hasStates || b.hasStates : shown.clock === "cpu";
  // Functions are summed up here out of the tree, all of them: a list of rows would have to be cut.
  const answer = await ask("difference", { ...questionOfBoth(project, both), states: isCpu ? "on_cpu" : "all", limit: 1 }, signal);
  return {
    a, b, trees: trees(answer, func), isCpu, damaged: answer.covers?.damaged?.length ?? 0,
    totals: {
      us: [answer.base_total_us, answer.total_us], ticks: [answer.base_ticks, answer.ticks], seconds: [a.seconds, b.seconds],
      requests: a.requests && b.requests ? [a.requests, b.requests] : null,
    },
  };
}

/** @param {string} project @param {Side} side @param {AbortSignal} signal @returns {Promise<Known>} */
async function about(project, side, signal) {
  const { from, to } = side, span = { project, from: String(from), to: String(to) };
  // The chart shows as much again before and after.
  const wide = { from: from - (to - from), to: Math.min(to + (to - from), Math.max(to, Date.now() / 1000)) };
  const got = /** @type {any} */ ({});
  await inTurn([
    async () => { got.services = await ask("services", span, signal); },
    async () => { got.cpu = await ask("cpu", { ...question(project, { ...side, ...wide }), buckets: BUCKETS, series: "false" }, signal); },
    async () => { got.quality = await ask("quality", question(project, side), signal); },
    async () => { got.requests = await ask("transactions", span, signal).catch(() => null); },
  ], AT_ONCE);
  /** @type {Session[]} */ const sessions = got.services.sessions;
  const chosen = sessions.filter(session => isOf(side, session)), { covered, most } = cover(clipped(chosen, from * 1e6, to * 1e6));
  const { values, hasStates, us } = load(got.cpu.buckets, got.cpu.bucket_us, wide.from * 1e6, wide.to * 1e6);
  // Transactions can be asked for by time alone.
  const isAll = chosen.length === sessions.length, requests = isAll && got.requests ? withProfile(got.requests.transactions) : null;
  return { side, sessions, instances: most, seconds: covered / 1e6, values, hasStates: hasStates && us > 0, ...wide, quality: got.quality, requests: requests || null };
}

/** @param {{with_profile: number}[]} transactions */
const withProfile = transactions => transactions.reduce((sum, { with_profile }) => sum + with_profile, 0);

/** Whether a session is one of a side. @param {Side} side @param {Session} session */
function isOf({ env, release, instance }, session) {
  const has = (/** @type {string[]} */ list, /** @type {string} */ value) => list.length === 0 || list.includes(value), plain = (/** @type {string} */ id) => id.replaceAll("-", "");
  return has(env, session.environment ?? "") && has(release, session.release ?? "") && has(instance.map(plain), plain(session.profiler_id));
}
