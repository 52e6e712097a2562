// @ts-check
// What the page of services asks: cheap questions of all services first, so that they can be put in order; then the rest of each.

import { ask, funcOf } from "../data/api.js";
import { aligned, load } from "../data/load.js";
import { inTurn } from "../data/pool.js";
import { worst } from "../data/quality.js";
import { group } from "../data/services.js";
import { secondsOf } from "../shell/time.js";

/** @typedef {import("../data/services.js").Service} Service */
/** @typedef {import("../data/tree.js").Func} Func */
/** @typedef {{func: Func, us: number, all: number}} Top */
/** @typedef {{func: Func, difference: number}} Change */
/** What is known of a service. `cores` is the mean of the time in which it was profiled; without `hasStates` it counts threads
 *  that were not idle.
 *  @typedef {{values: (number | null)[], hasStates: boolean, cores: number, top?: Top[], quality?: import("../data/quality.js").Verdict,
 *  changes?: Change[]}} Figures */
/** `left`: services that were left out. @typedef {{services: Service[], left: number, figures: Map<string, Figures>, from: number, to: number, asked: string, at: number}} Data */
/** The server's own words, and what it keeps. `data`: nothing where nothing is kept at all. @typedef {{status: any, data: ?Data}} Answer */

/** Steps of the charts. */
export const BUCKETS = 120;
/** Services that are asked for: those that were profiled for longest. */
const SERVICES = 100;
/** Questions at a time. */
const AT_ONCE = 3;
/** Functions that are asked of each service: three are shown, more may be among the hottest of all. */
const FUNCTIONS = 6;
/** What a release changed is worked out again after so long, milliseconds: it is the dearest question. */
const CHANGES_MS = 300e3;
/** Changes that are kept of each service. */
const CHANGES = 2;

/** Services of which is known what ran on a CPU come first. @param {Map<string, Figures>} figures @returns {(a: Service, b: Service) => number} */
export function byCpu(figures) {
  const rank = (/** @type {Service} */ { key }) => {
    const of = figures.get(key);
    return of ? of.cores + (of.hasStates ? 1e6 : 0) : -1;
  };
  return (a, b) => rank(b) - rank(a) || (a.key < b.key ? -1 : 1);
}

/** Asks, again and again. Between two times it keeps what need not be asked each time. */
export class Questions {
  /** @type {Map<string, {at: number, key: string, changes: Change[]}>} */ changes = new Map();

  /** Tells each part as it comes. What fails does not keep the rest from being told: the first failure is thrown at the end.
   *  @param {{from: string, to: string}} span @param {?Data} before what was told last @param {(answer: Answer) => void} tell @param {AbortSignal} signal */
  async ask(span, before, tell, signal) {
    const window = aligned(secondsOf(span.from), secondsOf(span.to), BUCKETS), asked = `${span.from} ${span.to}`;
    const [{ projects }, status] = await Promise.all([ask("projects", {}, signal), ask("status", {}, signal).catch(() => null)]);
    if (projects.length === 0) { tell({ status, data: null }); return; }
    /** @type {unknown} */ let failure = null;
    const turn = async (/** @type {(() => Promise<unknown>)[]} */ jobs) => {
      await inTurn(jobs, AT_ONCE).catch(error => { failure ??= error; });
      signal.throwIfAborted();
    };
    /** @type {Service[]} */ let services = [];
    await turn(projects.map((/** @type {number} */ project) => async () => {
      const answer = await ask("services", { project, ...window }, signal);
      services.push(...group(project, answer.sessions, answer));
    }));

    const all = services.length;
    services = services.sort((a, b) => b.profiled_us - a.profiled_us).slice(0, SERVICES);
    const last = before?.asked === asked ? before.figures : null;
    /** @type {Map<string, Figures>} */ const figures = new Map();
    await turn(services.map(service => async () => {
      const { buckets, bucket_us } = await ask("cpu", { ...questionOf(service), ...window, buckets: BUCKETS, series: "false" }, signal);
      const { values, hasStates, us } = load(buckets, bucket_us, Math.max(service.first_us, window.from * 1e6), service.last_us);
      // What is asked next stays as it was until it is answered.
      figures.set(service.key, { ...last?.get(service.key), values, hasStates, cores: us / Math.max(1, service.covered_us) });
    }));
    services = services.filter(({ key }) => figures.has(key)).sort(byCpu(figures));
    const data = { services, left: all - services.length, figures, ...window, asked, at: Date.now() };
    tell({ status, data });

    const add = (/** @type {Service} */ { key }, /** @type {Partial<Figures>} */ more) => {
      const of = figures.get(key);
      if (of) figures.set(key, { ...of, ...more });
      if (!signal.aborted) tell({ status, data });
    };
    await turn(services.flatMap(service => [
      async () => add(service, { top: await top(service, window, statesOf(figures, service), signal) }),
      async () => add(service, { quality: worst(await ask("quality", { ...questionOf(service), ...window }, signal)) }),
    ]));
    await turn(services.filter(({ before }) => before !== null).map(service => async () =>
      add(service, { changes: await this.changed(service, asked, window, statesOf(figures, service), signal) })));
    if (failure) throw failure;
  }

  /** What the last release changed beyond what sampling makes. @param {Service} service @param {string} asked @param {{from: number, to: number}} window
   *  @param {string} states @param {AbortSignal} signal */
  async changed(service, asked, window, states, signal) {
    const { release, before } = service, key = JSON.stringify([asked, release, before]), known = this.changes.get(service.key);
    if (known && known.key === key && Date.now() - known.at < CHANGES_MS) return known.changes;
    const sides = { release: release ?? "", base_release: before ?? "" };
    const { functions } = await ask("difference", { ...questionOf(service), ...window, ...sides, states, limit: 20 }, signal);
    /** @type {Change[]} */ const changes = functions.filter((/** @type {any} */ { own }) => Math.abs(own.difference) > own.error_95)
      .slice(0, CHANGES).map((/** @type {any} */ row) => ({ func: funcOf(row.function), difference: row.own.difference }));
    this.changes.set(service.key, { at: Date.now(), key, changes });
    return changes;
  }
}

/** The functions with the most time of their own. @param {Service} service @param {{from: number, to: number}} window @param {string} states @param {AbortSignal} signal
 *  @returns {Promise<Top[]>} */
async function top(service, window, states, signal) {
  const answer = await ask("functions", { ...questionOf(service), ...window, states, limit: FUNCTIONS }, signal);
  return answer.functions.map((/** @type {any} */ row) => ({ func: funcOf(row.function), us: row.own.us, all: answer.total_us }));
}

/** Which time counts. @param {Map<string, Figures>} figures @param {Service} service */
const statesOf = (figures, { key }) => figures.get(key)?.hasStates ? "on_cpu" : "all";

/** @param {Service} service */
function questionOf({ place: { project, env, release, instance } }) {
  return { project, environment: env, release, profiler: instance };
}
