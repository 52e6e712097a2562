// @ts-check
// The selected span in words: what it is, how far its children explain it, and what its thread did meanwhile.

import { h } from "../vendor/preact.js";
import { bandOf, dotOf } from "../data/colour.js";
import { func } from "../data/api.js";
import { count, counted, duration, isolated, percent } from "../data/format.js";
import { added, shares } from "../data/shares.js";
import { Loading, Parts, bar, chip, dot } from "../shell/parts.js";
import { isDark } from "../shell/theme.js";
import { icon } from "../shell/icons.js";
import { link } from "../shell/link.js";
import { isFailed } from "../transactions/list.js";
import { profileAddress } from "./slice.js";

/** Shorter spans may fall between two samples, microseconds. */
const SHORT_US = 20e3;

/** What the server knows of a slice; null while it is asked. @typedef {{threads: any[], functions: any, trouble: string}} Known */

/** @typedef {import("../shell/app.js").PageProps["go"]} Go */
/** @typedef {import("./slice.js").Slice} Slice */
/** `zoom` changes between it and the whole trace.
 *  @typedef {{trace: import("./spans.js").Trace, row: import("./spans.js").Row, slice: ?Slice, known: ?Known, service: string, go: Go, isZoomed: boolean, zoom: () => void}} Props */

/** @param {Props} props */
export function SpanPanel({ trace, row, slice, known, service, go, isZoomed, zoom }) {
  const { spans, begin } = trace, span = spans[row.at], isGap = row.kind === "gap", length = row.end - row.begin;
  const thread = known?.threads.find(({ id }) => id === slice?.thread)?.name ?? span.segment?.transaction.thread_name;
  const zoomTo = h("button", { type: "button", onClick: zoom }, isZoomed ? "Show the whole trace" : "Zoom to it");
  const pair = (/** @type {string} */ name, /** @type {import("../vendor/preact.js").Child} */ value) => h("div", { key: name }, h("dt", null, name), h("dd", { dir: "auto" }, value));
  return [
    h("section", { key: "what" },
      h("p", { class: "soft clip", dir: "auto" }, isGap ? "no span" : span.op.slice(0, 200) || "span"),
      h("h2", { dir: "auto", title: span.name.slice(0, 2000) }, isGap ? `No span for ${duration(length)}` : span.name.slice(0, 600) || "without a name"),
      isGap ? h("p", { class: "soft", dir: "auto" }, `in ${span.op.slice(0, 80)} ${isolated(span.name.slice(0, 200))}`) : null,
      isFailed(span.status) && !isGap ? h("p", null, chip(String(span.status).slice(0, 60), "bad")) : null,
      isGap ? null : span.notes.map(note => h("p", { key: note, class: "tr-warning" }, note))),
    h("section", { key: "when" }, h("dl", null,
      pair("Duration", h("b", null, duration(length))), pair("Starts at", row.begin >= begin ? duration(row.begin - begin) : `\u2212${duration(begin - row.begin)}`),
      service ? pair("Service", service) : null,
      span.thread ? pair("Thread", thread ? `${thread} (${span.thread})` : span.thread) : null,
      isGap ? null : pair("Child spans", span.children.length > 0 ? count(span.children.length) : "none"),
      !isGap && span.children.length > 0 ? pair("Child spans cover", h("span", { class: span.cover * 2 < length ? "tr-warning" : "" }, percent(span.cover, length))) : null)),
    slice ? profileOf(slice, known, go, zoomTo) : h("section", { key: "profile" }, h("h3", null, "Profile"),
      h("p", { class: "soft" }, span.profiler ? "None was received for this time." : "It does not say which profiler ran in its process."), h("p", { class: "row" }, zoomTo)),
  ];
}

/** @param {Slice} slice @param {?Known} known @param {Go} go @param {import("../vendor/preact.js").Child} more beside the link */
function profileOf(slice, known, go, more) {
  const samples = known?.functions.samples ?? 0;
  const open = h("p", { class: "row" }, link("profile", profileAddress(slice), [icon("bars"), "Open profile slice"], go, "tr-primary"), more,
    samples > 0 ? h("span", { class: "soft" }, counted(samples, "sample")) : null);
  if (!known) return h("section", { key: "profile", class: "tr-known" }, h(Loading, {}), open);
  if (known.trouble) return h("section", { key: "profile" }, h("p", { class: "tr-warning" }, known.trouble), open);
  return [
    h("section", { key: "states" }, h("h3", null, slice.thread ? "What the thread did" : "What all threads did"), statesOf(slice, known)),
    h("section", { key: "functions" }, functionsOf(known), open),
  ];
}

/** @param {Known} known */
function functionsOf({ functions: { functions, total_us } }) {
  const own = functions.filter((/** @type {any} */ { own }) => own.us > 0);
  if (own.length === 0) return null;
  const row = (/** @type {any} */ { function: of, own }, /** @type {number} */ at) => {
    const colour = dotOf(bandOf(func([of.name, of.module, of.package, of.file, of.path, of.line, of.in_app])), isDark());
    const where = [of.name, of.path ?? of.file ?? of.package ?? of.module].filter(Boolean).join(" ").slice(0, 500);
    return h("li", { key: at, title: where }, dot(colour), h("span", { class: "clip", dir: "auto" }, of.name.slice(0, 200)), bar(own.us, total_us, colour),
      h("span", { class: "figure" }, percent(own.us, total_us)));
  };
  return [h("h3", { key: "h" }, "Functions in it, by self time"), h("ul", { key: "ul", class: "tr-functions" }, own.map(row))];
}

/** @param {Slice} slice @param {Known} known */
function statesOf(slice, known) {
  const parts = shares(known.threads.reduce((/** @type {Record<string, number>} */ sums, { states_us }) => added(sums, states_us), {}));
  const all = parts.reduce((sum, { value }) => sum + value, 0), soft = (/** @type {string} */ words) => h("p", { class: "soft" }, words);
  if (parts.some(({ state, value }) => state !== "unknown" && value > 0)) return h(Parts, { parts });
  if (all > 0) return soft(`Seen for ${duration(all)}; whether it ran or waited is not known: Sentry's SDKs send no states.`);
  if (slice.end - slice.begin < SHORT_US) return soft("No sample fell into it: it is shorter than samples are apart.");
  return soft("No sample of it: the thread was idle, or the profiler did not run.");
}
