// @ts-check
// One sentence: whether B takes more than A, and which change to look at first.

import { h } from "../vendor/preact.js";
import { count } from "../data/format.js";
import { difference, verdict } from "./measure.js";

/** @typedef {{data: import("./questions.js").Data, measure: import("./measure.js").Measure, top: ?import("./measure.js").Row, look: (func: number) => void}} Props
 *  `look` goes to a function */

/** @param {Props} props */
export function Verdict({ data: { totals, isCpu, trees }, measure, top, look }) {
  const [was, is] = totals.us;
  if (was === 0 || is === 0) return h("span", null, was + is === 0 ? "Neither side has samples of it." : `Only ${was === 0 ? "B" : "A"} has samples of it.`);
  const { name, a, b, noise, relative, isNoise, change } = verdict(totals, isCpu), func = top ? trees.b.functions[top.func] : null;
  const unit = { share: "points", request: "a request", cores: isCpu ? "cores" : "threads" }[measure];
  return [
    h("span", { key: "all", role: "status" }, h("b", { class: isNoise ? "" : change > 0 ? "more" : "less" }, name, " ", relative),
      ` ${a} → ${b} ± ${noise}`, isNoise ? ", inside the noise" : ""),
    totals.requests ? pair("requests", totals.requests) : null, pair("samples", totals.ticks),
    !top || !func ? h("span", { key: "top", class: "push" }, "No function changed beyond the noise.") : h("span", { key: "top", class: "push row" }, "Largest change:",
      h("button", { type: "button", class: "link clip", title: func.name, onClick: () => look(top.func) }, h("bdi", null, h("b", null, func.name))),
      h("b", { class: top.change > 0 ? "more" : "less" }, difference(measure, top.change), " ", unit)),
  ];
}

/** @param {string} name @param {[number, number]} values */
const pair = (name, [a, b]) => h("span", { key: name }, name, " ", h("b", null, count(a), " → ", count(b)));
