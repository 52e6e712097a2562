// @ts-check
// What is worked out of the answers for the profile page: each is kept as long as what it was worked out of stays the same.

import { funcOf } from "../data/api.js";
import { isUnnamed } from "../data/colour.js";
import { inOrderOf } from "../data/keep.js";
import { applied, of } from "../data/pills.js";
import { found, hidden, search } from "../data/search.js";
import { hottest, inverted, keyOf, neighbours, onCpu } from "../data/tree.js";
import { kept } from "../shell/parts.js";
import { FIRST, read, write } from "./address.js";
import { chosenOf } from "./bar.js";
import { isBad, threadsOf } from "./lanes.js";
import { urgent } from "./quality.js";

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {import("./address.js").Shown} Shown */

export class Derived {
  clocked = kept((/** @type {Tree} */ tree, /** @type {string} */ clock) => clock === "cpu" && tree.states ? onCpu(tree) : tree);
  pills = kept((/** @type {string} */ text) => read(text).fx);
  applied = kept(applied);
  inOrder = kept(inOrderOf);
  inverted = kept(inverted);
  hottest = kept(hottest);
  neighbours = kept((/** @type {Tree} */ tree, /** @type {string} */ key) => neighbours(tree, of(tree, key)));
  search = kept(search);
  found = kept(found);
  hidden = kept(hidden);
  threads = kept(threadsOf);
  transactions = kept(ofPlace);
  oneThread = kept((/** @type {any[]} */ list, /** @type {string} */ tid) =>
    list.filter(({ thread_id }) => thread_id === tid).map(one => ({ ...one, failed: isBad(one.status) })));
  inPlace = kept((/** @type {any[]} */ sessions, /** @type {string} */ search) => chosenOf(sessions, read(search)));
  inSpans = kept((/** @type {any} */ spans) => spans ? { spans: spans.spans, more: spans.more } : null);
  ticks = kept((/** @type {any} */ body) => new Map(body.functions.map((/** @type {any} */ row) => [keyOf(funcOf(row.function)), row.frequency])));
  lines = kept(linesOf);
  unnamed = kept(unnamedIn);
  samples = kept((/** @type {Tree} */ { samples }) => {
    if (!samples) return null;
    let sum = 0;
    for (let node = 0; node < samples.own.length; node++) sum += samples.own[node];
    return sum;
  });
  urgent = kept(urgent);

  /** The trees that the views are of: before the transforms, and after. @param {Tree} whole @param {Shown} shown */
  trees(whole, { clock, fx }) {
    const before = this.clocked(whole, clock);
    // Each address makes new pills: the same ones are those that are written the same.
    return { before, tree: this.applied(before, this.pills(write({ ...FIRST, fx }))) };
  }
}

/** The transactions of a place, of the newest of the project. @param {any} body @param {string} search */
function ofPlace(body, search) {
  if (!body) return null;
  const { env, release, instance } = read(search), ids = new Set(instance.map(id => id.replaceAll("-", "")));
  const list = body.transactions.map((/** @type {any} */ { transaction }) => transaction).filter((/** @type {any} */ one) =>
    (env.length === 0 || env.includes(one.environment ?? "")) && (release.length === 0 || release.includes(one.release ?? ""))
      && (ids.size === 0 || ids.has((one.profiler_id ?? "").replaceAll("-", ""))));
  return { list, more: body.more };
}

/** Time of each line, by function, the most first. @param {any} body @returns {Map<string, import("./panel.js").Line[]>} */
function linesOf(body) {
  /** @type {Map<string, import("./panel.js").Line[]>} */ const lines = new Map();
  for (const { function: of, total } of body.functions) {
    const key = keyOf(funcOf(of)), list = lines.get(key);
    if (list) list.push({ line: of.line, us: total.us }); else lines.set(key, [{ line: of.line, us: total.us }]);
  }
  for (const list of lines.values()) list.sort((a, b) => b.us - a.us);
  return lines;
}

/** @param {Tree} tree */
function unnamedIn(tree) {
  const unnamed = tree.functions.filter(isUnnamed);
  return { functions: unnamed.length, libraries: new Set(unnamed.map(func => func.package)).size };
}
