// @ts-check
// The strip at the bottom of the page of services: what the server receives and keeps. What it does not know is left out.

import { h } from "../vendor/preact.js";
import { bytes, count } from "../data/format.js";
import { addressOf, place } from "../shell/address.js";
import { many } from "./words.js";

/** @param {{status: any, search: string}} props */
export function StatusBar({ status, search }) {
  const { received, store, listen, version } = status ?? {};
  return h("footer", { "aria-label": "The server" },
    status ? null : h("span", null, "The server says nothing of itself"),
    received ? incoming(received) : null,
    received ? refused(received.refused, addressOf("refused", place.write(place.read(search)))) : null,
    store ? kept(store) : null,
    store?.free_bytes ? h("span", null, h("b", null, bytes(store.free_bytes)), " free on its disk") : null,
    listen ? h("span", { class: "last" }, listen, version ? ` · ${version}` : "") : null);
}

/** @param {{envelopes: number, rate_per_s?: ?number}} received */
function incoming({ envelopes, rate_per_s }) {
  const rate = rate_per_s ?? 0, lamp = h("span", { class: "lamp ok" });
  if (rate > 0) return h("span", null, lamp, h("b", null, "Receiving"), ` ${rate < 10 ? rate.toFixed(1) : count(rate)} envelopes/s`);
  return h("span", null, lamp, h("b", null, "Ready"), `, ${envelopes >= 1e3 ? count(envelopes) + " envelopes" : many(envelopes, "envelope")} so far`);
}

/** @param {number} refused @param {string} why */
function refused(refused, why) {
  return h("span", null, "refused ", h("b", null, count(refused)), refused > 0 ? [" ", h("a", { href: why }, "see why")] : null);
}

/** @param {{kind: string, path: ?string, bytes: ?number, limit_bytes: ?number, days: ?number}} store */
function kept({ kind, path, bytes: used, limit_bytes, days }) {
  return h("span", null, "store", used === null ? null : [" ", h("b", null, bytes(used))], limit_bytes ? ` of ${bytes(limit_bytes)}` : "", days ? `, ${count(days)} days kept` : "",
    path ? [" in ", h("bdi", null, path)] : kind === "memory" ? " in memory" : "");
}
