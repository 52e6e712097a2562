// @ts-check
// How far what is shown may be trusted, and what taking it cost: a strip at the bottom, and messages where more must be said.

import { h } from "../vendor/preact.js";
import { clock, count, percent } from "../data/format.js";
import { levelOf, rateLevel, sum } from "../data/quality.js";
import { Message } from "../shell/parts.js";

/** @param {number | Record<string, number>} counted */
function reasons(counted) {
  return typeof counted === "number" ? "" : Object.entries(counted).map(([reason, many]) => `${reason.replaceAll("_", " ")}: ${count(many)}`).join(", ");
}

/** What a quality is, with thresholds. `null`: no agent said anything. @param {any} data */
export function judged(data) {
  if (!data || data.profiles === 0) return null;
  const { counters, ticks, ticks_asked, span_us } = data, seconds = Math.max(1, span_us) / 1e6, samples = Math.max(1, counters.samples),
    reached = ticks / Math.max(1, ticks_asked);
  const share = (/** @type {string} */ name) => sum(counters[name]) / samples;
  return {
    rate: ticks / seconds, asked: ticks_asked / seconds, reached, rateLevel: rateLevel(reached),
    late: sum(counters.late), lateLevel: levelOf("late", share("late")), truncated: share("truncated"),
    truncatedLevel: levelOf("truncated", share("truncated")), why: reasons(counters.truncated),
    guessed: share("guessed"), guessedLevel: levelOf("guessed", share("guessed")),
    lost: ["skipped", "lost", "dropped"].map(name => ({ name, many: sum(counters[name]), level: levelOf(name, share(name)), why: reasons(counters[name]) })),
    stopped: data.stopped_us / Math.max(1, span_us), agent: data.agent_cpu_us / Math.max(1, span_us),
  };
}

/** @typedef {"truncated" | "rate" | "damaged"} Topic */
/** `told` is what a message is open of; `unnamed` functions and their libraries. @typedef {{data: any, covers: any, ms: number, unnamed: {functions: number,
 *  libraries: number}, tell: (topic: Topic) => void}} Props */

/** @param {Props} props */
export function Quality({ data, covers, ms, unnamed, tell }) {
  const cell = (/** @type {string} */ name, /** @type {string} */ value, title = "", level = "", more = "") =>
    h("span", { key: name, title, class: level + " " + more }, name, " ", h("b", null, value));
  const toggle = (/** @type {Topic} */ topic, /** @type {string} */ level, /** @type {import("../vendor/preact.js").Child[]} */ ...words) =>
    h("span", { key: topic, class: level }, h("button", { type: "button", class: "link", title: "Say more", onClick: () => tell(topic) }, words));
  const judgement = judged(data), parts = [];
  if (judgement) {
    const { rate, asked, rateLevel, late, lateLevel, truncated, truncatedLevel, why, guessed, guessedLevel, lost, stopped, agent } = judgement;
    const words = [h("span", { class: "lamp " + rateLevel, "aria-hidden": "true" }), h("b", null, `${rate.toFixed(1)} Hz`),
      ` reached of ${asked.toFixed(Math.abs(asked - Math.round(asked)) > 0.1 ? 1 : 0)} asked`];
    parts.push(rateLevel ? toggle("rate", rateLevel, ...words) : h("span", { key: "rate" }, words));
    parts.push(cell("late", count(late), "ticks that came after their time", lateLevel));
    parts.push(truncatedLevel ? toggle("truncated", truncatedLevel, "truncated ", h("b", null, percent(truncated, 1)))
      : cell("truncated", percent(truncated, 1), why));
    parts.push(cell("guessed", percent(guessed, 1), "frames that were found by scanning the stack", guessedLevel, "least"));
    for (const { name, many, level, why } of lost) if (many > 0) parts.push(cell(name, count(many), why, level));
    if (unnamed.functions > 0) parts.push(cell("unnamed", `${count(unnamed.functions)}`, `functions without symbols, in ${count(unnamed.libraries)} libraries`,
      "", "least"));
    parts.push(cell("held stopped", percent(stopped, 1), "of the time", "", "least"));
    parts.push(h("span", { key: "agent" }, "agent cost ", h("b", null, percent(agent, 1)), " of a core"));
  } else if (covers?.profiles > 0) {
    parts.push(h("span", { key: "none" }, "An SDK took these: it does not say how many samples were late or lost"));
    if (unnamed.functions > 0) parts.push(cell("unnamed", count(unnamed.functions), `in ${count(unnamed.libraries)} libraries`));
  }
  if (covers?.damaged?.length > 0) parts.push(toggle("damaged", "bad", h("b", null, count(damagedIn(covers))),
    ` of ${count(covers.profiles + damagedIn(covers))} chunks cannot be read`));
  return h("footer", { "aria-label": "Quality of the data" }, parts,
    covers ? h("span", { class: "last" },
      `${count(covers.profiles)} ${covers.profiles === 1 ? "chunk" : "chunks"}${covers.live > 0 ? " and what is not kept yet" : ""}, answered in ${count(Math.max(1, ms))} ms`) : h("span", { class: "last" }, "\u00a0"));
}

/** @param {any} covers */
const damagedIn = covers => covers.damaged.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + Math.max(1, one.profiles), 0);

/** What must be said at once: what is red. @param {any} data @param {any} covers @returns {Topic[]} */
export function urgent(data, covers) {
  const judgement = judged(data);
  /** @type {Topic[]} */ const topics = [];
  if (covers?.damaged?.length > 0) topics.push("damaged");
  if (judgement?.truncatedLevel === "bad") topics.push("truncated");
  if (judgement?.rateLevel === "bad") topics.push("rate");
  return topics;
}

/** @param {{topic: Topic, data: any, covers: any, close: () => void, span: ?{from_us: number, to_us: number}}} props */
export function Told({ topic, data, covers, close, span }) {
  const judgement = judged(data), action = { text: "Close", act: close };
  if (topic === "damaged" && covers?.damaged?.length > 0) {
    const [{ at, what }] = covers.damaged, many = damagedIn(covers);
    const missing = covers.damaged.reduce((/** @type {number} */ sum, /** @type {any} */ one) =>
      sum + Math.max(0, Math.min(one.end_us, span?.to_us ?? Infinity) - Math.max(one.start_us, span?.from_us ?? 0)), 0);
    return h(Message, { level: "bad", title: `${count(many)} of ${count(covers.profiles + many)} chunks cannot be read`, action,
      text: `(${at}: ${what}). The rest is shown${span && missing > 0 ? `; up to ${percent(Math.min(missing, span.to_us - span.from_us), span.to_us - span.from_us)} of the window is missing` : ""}.` });
  }
  if (!judgement) return null;
  if (topic === "truncated") {
    return h(Message, { level: judgement.truncatedLevel === "bad" ? "bad" : "warn", title: `Truncated ${percent(judgement.truncated, 1)}.`, action,
      text: `Too deep stacks are cut: Python in the middle, native at the root end. Self times are exact; totals above the cut are too low.${judgement.why ? ` Why: ${judgement.why}.` : ""}` });
  }
  return h(Message, { level: judgement.rateLevel === "bad" ? "bad" : "warn", title: `Rate ${judgement.rate.toFixed(1)} of ${judgement.asked.toFixed(0)} Hz.`,
    action,
    text: "The machine was too busy to look as often as was asked for. Shares hold; short functions may be missing." });
}

/** The server does not answer: when it is asked again, and how old what is seen is.
 *  @param {{left: number, at: number, retry: () => void}} props `left` seconds; `at` milliseconds since 1970, 0: nothing is seen */
export function Away({ left, at, retry }) {
  return h(Message, { level: "bad", title: "The server does not answer.",
    text: `Trying again in ${left} s.${at > 0 ? ` What you see is from ${clock(at * 1000)}.` : ""}`, action: { text: "Try now", act: retry } });
}
