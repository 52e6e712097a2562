// @ts-check
// What the page of usage shows, as its address says it; what is not said of a fleet is as measured.

import { codec, PLACE, text, whole } from "../shell/address.js";

/** @type {import("../shell/address.js").Field<string>} */
const month = { first: "", read: ([value]) => /^\d{4}-(0[1-9]|1[0-2])$/.test(value) ? value : undefined, write: value => [value] };

export const address = codec({ ...PLACE, month, budget: whole(), instances: whole(), hours: whole(), share: whole(), rate: whole(), threads: text() });

/** @typedef {typeof address.first} Shown */
