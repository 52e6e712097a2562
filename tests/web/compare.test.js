// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { address, questionOfBoth, sides, swapped } from "../../server/web/compare/address.js";
import { changeOf, difference, figure, largest, noiseOf, onlyIn, rowsOf, trees, verdict, widest } from "../../server/web/compare/measure.js";

const NOW = 10_000_000;

test("A is the time right before B, with the same selection", () => {
  const shown = address.read("?project=2&env=prod&from=-1h");
  assert.deepEqual(sides(shown, NOW), { a: { env: ["prod"], release: [], instance: [], from: 2800, to: 6400 }, b: { env: ["prod"], release: [], instance: [], from: 6400, to: 10000 } });
  assert.deepEqual(questionOfBoth("2", sides(address.read("?release=2&a_release=1&a_from=-1h&a_to=now"), NOW)), {
    project: "2", environment: [], release: ["2"], profiler: [], from: "6400", to: "10000", base_from: "6400", base_to: "10000", base_environment: [], base_release: ["1"], base_profiler: [],
  });
});

test("swapped twice, the sides are what they were", () => {
  const shown = address.read("?release=2&a_release=1&from=-1h"), once = swapped(shown, NOW), twice = swapped(once, NOW);
  const { a, b } = sides(shown, NOW), other = sides(once, NOW);
  assert.deepEqual([other.a, other.b], [b, a]);
  assert.deepEqual(sides(twice, NOW), { a, b });
});

const answer = {
  tree_functions: ["main", "old", "slow", "new", "leaf"].map(name => [name]), base_total_us: 1000e4, total_us: 2000e4,
  nodes: {
    function: [0, 2, 4, 1, 4, 3, 4], depth: [0, 1, 2, 1, 2, 1, 2],
    base_total_us: [1000e4, 600e4, 100e4, 400e4, 50e4, 0, 0], base_own_us: [0, 500e4, 100e4, 350e4, 50e4, 0, 0],
    total_us: [2000e4, 1800e4, 100e4, 0, 0, 200e4, 150e4], own_us: [0, 1700e4, 100e4, 0, 0, 50e4, 150e4],
  },
};
const both = trees(answer, ([name]) => ({ name, module: null, package: null, file: null, path: null, line: null, inApp: true }));
/** @type {import("../../server/web/compare/measure.js").Totals} */
const totals = { us: [1000e4, 2000e4], ticks: [1000, 2000], seconds: [20, 20], requests: [100, 100] };

test("functions with their change, and which side has them alone", () => {
  const rows = rowsOf(both, "share", totals, false).map(({ func, a, b, isNoise, only }) => [both.a.functions[func].name, a, b, isNoise, only]);
  assert.deepEqual(rows.sort(), [["leaf", 0.15, 0.125, true, ""], ["main", 1, 1, true, ""], ["new", 0, 0.1, false, "b"], ["old", 0.4, 0, false, "a"], ["slow", 0.6, 0.9, false, ""]]);
});

test("what stands only in one tree begins at its first frame that the other has not; what may be chance is left out", () => {
  const { tree, rest } = onlyIn(both.b, both.a, () => false);
  assert.deepEqual([[...tree.func], [...tree.depth], [...tree.total], tree.all, rest], [[3, 4], [0, 1], [200e4, 150e4], 200e4, 0]);
  assert.deepEqual([onlyIn(both.b, both.a, () => true).tree.func.length, onlyIn(both.b, both.a, () => true).rest], [0, 200e4]);
  const wide = { ...both.a, func: [1, 0, 3, 4], depth: [0, 0, 0, 1], total: [5, 9, 7, 6], own: [5, 9, 1, 6] }, none = { ...wide, total: [0, 1, 0, 0] };
  assert.deepEqual([...onlyIn(wide, none, () => false).tree.func], [3, 4, 1]);
  assert.deepEqual([widest(both.b, 4), widest(both.b, 1)], [6, -1]);
});

test("the noise of shares is that of Agresti and Caffo; of time per request and cores that of counted ticks", () => {
  // Worked out by hand in the server's test: 57/72 and 49/82.
  const { noise, change } = changeOf("share", { us: [70, 80], ticks: [70, 80], seconds: [1, 1], requests: null }, 56, 48);
  assert.deepEqual([noise.toFixed(4), change.toFixed(4)], ["0.1417", "-0.2000"]);
  // A tick is 10 ms, so 0.1 ms a request: 99 and 399 ticks, and one more each.
  const request = changeOf("request", totals, 99e4, 399e4);
  assert.deepEqual([request.a, request.b, request.noise.toFixed(3), request.isNoise], [9900, 39900, (1.96 * 100 * Math.sqrt(500)).toFixed(3), false]);
  assert.equal(changeOf("cores", totals, 500e4, 500e4).isNoise, true);
});

test("the change to look at first does the least else", () => {
  const row = (/** @type {number} */ func, /** @type {number} */ a, /** @type {number} */ b, isNoise = false) => ({ func, a, b, change: b - a, noise: 0, isNoise, only: /** @type {""} */ ("") });
  assert.equal(largest([row(0, 0.64, 0.7), row(1, 0.15, 0.21), row(2, 0.1, 0.13), row(3, 0.3, 0.1, true)])?.func, 1);
  assert.equal(largest([row(0, 0.4, 0.1), row(1, 0.1, 0.2)])?.func, 0);
  assert.equal(largest([row(0, 0.4, 0.1, true)]), null);
});

test("figures and the verdict", () => {
  assert.deepEqual([figure("share", 0.152), figure("request", 1500), figure("cores", 1.234), figure("cores", 0.0123), figure("cores", 0.0001)], ["15.2\u202f%", "1.50\u202fms", "1.23", "0.012", "<0.001"]);
  assert.deepEqual([difference("share", 0.062), difference("request", -1500), difference("cores", 0), noiseOf("share", 0.0002), noiseOf("share", 0.002)], ["+6.2", "\u22121.50\u202fms", "0.00", "<0.1", "0.2"]);
  const { name, a, b, relative, isNoise } = verdict(totals, true);
  assert.deepEqual([name, a, b, relative, isNoise], ["CPU per request", "100\u202fms", "200\u202fms", "+100.0\u202f%", false]);
  assert.equal(verdict({ ...totals, requests: null }, false).name, "Threads not idle");
});
