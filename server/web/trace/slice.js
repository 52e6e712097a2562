// @ts-check
// A piece of one thread's time, and where the profile page shows it.

import { seconds } from "../data/api.js";

/** A slice opens with so much before and after it: a second, or as long as itself. */
const AROUND_US = 1e6;

/** `thread` may be "": then all threads of the process. Times are microseconds since 1970.
 *  @typedef {{project: string, profiler: string, thread: string, begin: number, end: number}} Slice */

/** @param {Slice} slice @returns {string} the part of the profile page's address behind its path */
export function profileAddress({ project, profiler, thread, begin, end }) {
  const around = Math.max(AROUND_US, end - begin);
  const query = new URLSearchParams();
  if (project !== "1") query.set("project", project);
  query.set("instance", profiler);
  query.set("from", at(begin - around));
  query.set("to", at(end + around));
  if (thread !== "") query.set("tid", thread);
  query.set("w0", String(Math.floor(begin)));
  query.set("w1", String(Math.ceil(Math.max(end, begin + 1))));
  return "?" + query;
}

/** A slice as the parameters of a question. @param {Slice} slice */
export function asked({ project, profiler, thread, begin, end }) {
  return { project, profiler, thread: thread || undefined, from: at(begin), to: at(Math.max(end, begin + 1)) };
}

/** @param {number} us */
function at(us) {
  return seconds(String(Math.max(0, Math.round(us))));
}

/** Where the profile of a transaction is; `null`: it has none. @param {string} project @param {any} transaction as the API has it @returns {?Slice} */
export function sliceOf(project, { profiler_id, profile_id, thread_id, start_us, end_us }) {
  const profiler = profiler_id ?? profile_id;
  return profiler ? { project, profiler, thread: thread_id ?? "", begin: start_us, end: end_us } : null;
}
