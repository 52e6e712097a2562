// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { act, asText, entriesOf } from "../../server/web/profile/actions.js";
import { isBad, marksOf } from "../../server/web/profile/lanes.js";
import { judged, urgent } from "../../server/web/profile/quality.js";
import { inView, marked, moved, revealed } from "../../server/web/profile/rows.js";
import { sourceOf } from "../../server/web/profile/source.js";
import { sorted } from "../../server/web/profile/table.js";
import { hottest } from "../../server/web/data/tree.js";
import { tree } from "./stacks.js";

/** @type {import("../../server/web/data/tree.js").Func} */
const rules = { name: "apply", module: "shop.rules", package: null, file: "shop/rules.py", path: "/srv/a b/shop/rules.py", line: 61, inApp: true };

test("links to the source come from a template, and go to no script", () => {
  assert.equal(sourceOf("https://git.example.org/{file}#L{line}", rules), "https://git.example.org/shop/rules.py#L61");
  assert.equal(sourceOf("vscode://file{path}:{line}", rules), "vscode://file/srv/a%20b/shop/rules.py:61");
  assert.equal(sourceOf("https://x.org/{file}", { ...rules, file: "../?a#b\"<" }), "https://x.org/%3Fa%23b%22%3C");
  assert.deepEqual([sourceOf("", rules), sourceOf("nowhere {file}", rules), sourceOf("javascript:alert(1)//{file}", rules),
    sourceOf("https://x.org/{file}", { ...rules, file: null, path: null })], [null, null, null, null]);
});

test("only rows in view are on the page", () => {
  assert.deepEqual([inView(0, 240, 1000), inView(2400, 240, 1000), inView(24000, 240, 10), inView(0, 240, 0)],
    [{ first: 0, last: 18 }, { first: 92, last: 118 }, { first: 10, last: 10 }, { first: 0, last: 0 }]);
  assert.deepEqual([revealed(2, 0, 240), revealed(20, 0, 240), revealed(3, 480, 240)], [0, 264, 72]);
  assert.deepEqual(["ArrowDown", "ArrowUp", "PageDown", "End", "x"].map(key => moved(key, 3, 50, 240)), [4, 2, 12, 49, undefined]);
  assert.deepEqual([moved("ArrowUp", -1, 5, 240), moved("ArrowDown", -1, 0, 240)], [0, undefined]);
});

test("what is found is marked", () => {
  const parts = marked("a rule of rules", text => [...text.matchAll(/rule/g)].map(({ index }) => [index, index + 4]));
  assert.deepEqual(parts.map(part => typeof part), ["string", "object", "string", "object", "string"]);
  assert.deepEqual([parts[0], parts[2], parts[4]], ["a ", " of ", "s"]);
});

test("functions sort by every column, both ways", () => {
  const shop = tree({ "main;b;z": 5, "main;a": 20, "main;b": 1 }), rows = hottest(shop), ticks = new Map([["main", 3], ["a", 9]]);
  const names = (/** @type {string} */ sort, /** @type {?Uint8Array} */ hits = null) =>
    sorted(shop, rows, hits, ticks, sort).map(({ func }) => shop.functions[func].name).join(" ");
  assert.deepEqual(["own", "-own", "total", "name", "-name", "ticks"].map(sort => names(sort)),
    ["a z b main", "main b z a", "main a b z", "a b main z", "z main b a", "a main z b"]);
  assert.equal(names("own", Uint8Array.from(shop.functions, ({ name }) => name === "b" ? 1 : 0)), "b");
});

test("a letter does what the menu says", () => {
  /** @type {string[]} */ const done = [];
  const note = (/** @type {string} */ what) => (/** @type {any} */ of) => { done.push(`${what} ${of?.kind ?? ""} ${of?.name ?? of ?? ""}`.trim()); };
  const actions = { add: note("add"), sandwich: note("sandwich"), copy: note("copy"), source: note("source"), fold: note("fold"), isFolded: true };
  for (const [key, shiftKey] of /** @type {[string, boolean][]} */ ([["f", false], ["h", false], ["H", true], ["r", false], ["b", false], ["c", false],
    ["o", false], ["t", false]])) act(/** @type {any} */ ({ key, shiftKey }), rules, actions);
  const byKey = [...done];
  done.length = 0;
  for (const entry of entriesOf(rules, actions)) if (entry !== "-") entry.act?.();
  assert.deepEqual(byKey, done);
  assert.equal(done[0], "add focus apply in shop.rules");
  assert.equal(done[2], "add hide:pkg shop");
  assert.equal(act(/** @type {any} */ ({ key: "f" }), null, actions), false);
  assert.equal(asText(rules), "apply shop/rules.py:61");
});

test("quality has its thresholds", () => {
  const counters = { samples: 1000, late: 6, skipped: {}, lost: { full: 2 }, truncated: { depth: 30, memory: 15 }, guessed: 200, dropped: {} };
  const data = { profiles: 2, span_us: 10e6, ticks: 700, ticks_asked: 1010, counters, stopped_us: 1e5, stop_max_us: 900, agent_cpu_us: 3e5 };
  const judgement = judged(data);
  assert.ok(judgement);
  const { rate, rateLevel, lateLevel, truncated, truncatedLevel, guessedLevel, why, agent } = judgement;
  assert.deepEqual([rate, rateLevel, lateLevel, truncated, truncatedLevel, guessedLevel, why, agent],
    [70, "bad", "warn", 0.045, "warn", "bad", "depth: 30, memory: 15", 0.03]);
  assert.deepEqual(urgent(data, { damaged: [{}] }), ["damaged", "rate"]);
  assert.equal(judged({ ...data, profiles: 0 }), null);
  assert.deepEqual([judged({ ...data, ticks: 1000 })?.rateLevel, judged({ ...data, ticks: 900 })?.rateLevel], ["", "warn"]);
});

test("a release is marked where it was first seen, but for the one that was there", () => {
  const session = (/** @type {string | null} */ release, /** @type {number} */ first_us) => /** @type {any} */ ({ release, first_us });
  assert.deepEqual(marksOf([session("shop@2", 50), session("shop@1", 10), session("shop@2", 40), session(null, 5)]), [{ at: 40, text: "2 first seen" }]);
  assert.deepEqual([null, "ok", "", "internal_error"].map(isBad), [false, false, false, true]);
});
