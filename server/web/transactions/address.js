// @ts-check
// What the transactions page shows, as its address says it.

import { PLACE, codec, flag, one, text, whole } from "../shell/address.js";

export const SORTS = /** @type {const} */ (["total", "name", "count", "failed", "p50", "p95"]);

/** `w0` and `w1` (microseconds since 1970), `min` and `max` (microseconds, `max` not in it) are what was chosen in the heat map; `f` and `z`
 *  are the chosen function and the zoomed frame of the merged profile. */
export const address = codec({
  ...PLACE,
  q: text(), profiled: flag(), sort: one(SORTS), up: flag(), name: text(), order: one(/** @type {const} */ (["slowest", "newest"])), many: flag(),
  w0: whole(), w1: whole(), min: whole(), max: whole(), view: one(/** @type {const} */ (["list", "merged"])), cells: flag(),
  f: text(), z: text(),
});

/** @typedef {typeof address.first} Shown */
