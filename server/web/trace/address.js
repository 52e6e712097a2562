// @ts-check
// What the trace page shows, as its address says it.

import { PLACE, codec, text, texts } from "../shell/address.js";

/** `span` is the key of the selected row, `closed` those of the rows whose children are hidden, `zoom` that of the span which fills the axis. */
export const address = codec({ ...PLACE, trace: text(), span: text(), closed: texts(), zoom: text() });

/** @typedef {typeof address.first} Shown */
