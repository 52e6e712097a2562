// @ts-check
// How much ran over time, out of what the server answers of CPU.

/** @typedef {{start_us: number, on_cpu_us: number, runnable_us: number, sleeping_us: number, unknown_us: number}} Bucket */

/** Less of a bucket than this says too little of it. */
const PART_LEAST = 0.2;

/** A window whose ends lie on the steps of a chart, so that a chart that is asked for again has the same steps.
 *  @param {number} from seconds @param {number} to seconds @param {number} steps */
export function aligned(from, to, steps) {
  const step = (to - from) / steps, end = Math.ceil(to / step - 1e-6) * step;
  return { from: end - step * steps, to: end };
}

/** What ran in each bucket, in cores; nothing where nothing was profiled: before the first profile, and after the last. `hasStates`: whether it is known what ran
 *  on a CPU; else it is threads that were not idle.
 *  @param {Bucket[]} buckets @param {number} bucket_us @param {number} first_us @param {number} last_us */
export function load(buckets, bucket_us, first_us, last_us) {
  const on = buckets.reduce((sum, { on_cpu_us }) => sum + on_cpu_us, 0), unknown = buckets.reduce((sum, { unknown_us }) => sum + unknown_us, 0), hasStates = on > 0 || unknown === 0;
  const values = buckets.map(({ start_us, on_cpu_us, unknown_us }) => {
    const known = Math.min(last_us, start_us + bucket_us) - Math.max(first_us, start_us);
    return known < bucket_us * PART_LEAST ? null : (hasStates ? on_cpu_us : unknown_us) / known;
  });
  return { values, hasStates, us: hasStates ? on : unknown };
}
