// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { label, largest, spark, stack, ticks } from "../../server/web/chart/scale.js";

test("steps are round and reach the largest value", () => {
  assert.deepEqual(ticks(15.2), [0, 10, 20]);
  assert.deepEqual(ticks(13), [0, 5, 10, 15]);
  assert.deepEqual(ticks(0.06), [0, 0.02, 0.04, 0.06]);
  assert.deepEqual(ticks(9966), [0, 5000, 10000]);
  assert.deepEqual(ticks(0), [0, 1]);
  assert.deepEqual(ticks(NaN), [0, 1]);
});

test("the steps of an axis have as many decimals as they need", () => {
  assert.deepEqual([[0.5, 0.5], [1, 0.5], [0.25, 0.25], [2, 1], [0, 0.5], [9000, 3000], [2500, 2500], [100, 100], [0.002, 0.002]].map(([value, step]) => label(value, step)), ["0.5", "1.0", "0.25", "2", "0", "9k", "2.5k", "100", "0.002"]);
});

test("series stand on those before them", () => {
  assert.deepEqual(stack([[1, null, null], [2, 5, null]]), [[1, 0, null], [3, 5, null]]);
  assert.equal(largest([[1, null], [2, 5]]), 5);
});

test("an outline has a gap where nothing is known", () => {
  assert.deepEqual(spark([1, 1, null, 1], 30, 23), { line: "M0.0 3.0L10.0 3.0M30.0 3.0", area: "M0.0 23L0.0 3.0L10.0 3.0L10.0 23L0.0 23ZM30.0 23L30.0 3.0L30.0 23L30.0 23Z" });
  assert.deepEqual(spark([], 30, 20), { line: "", area: "" });
});
