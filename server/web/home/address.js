// @ts-check
// What the page of services shows, as its address says it.

import { codec, one, PLACE, text } from "../shell/address.js";

/** @type {("cpu" | "profiled" | "name")[]} */
export const SORTS = ["cpu", "profiled", "name"];

export const address = codec({ ...PLACE, q: text(), sort: one(SORTS) });

/** @typedef {typeof address.first} Shown */
