// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { activity, itemAt, lane, laned, thinned, threadsOf, usage } from "../../server/web/profile/lanes.js";

const axis = { from: 1000, to: 2000, width: 100 };
/** @param {...[number, number]} spans */
const items = (...spans) => spans.map(([start_us, end_us]) => ({ start_us, end_us }));

test("bars stand where their items are, below each other where they overlap", () => {
  const { bars, rows } = lane(items([1500, 1600], [1000, 1200], [1100, 1300], [900, 1010], [2100, 2200]), axis, () => false);
  assert.deepEqual(bars, [{ left: 0, right: 2, row: 0, item: 3 }, { left: 0, right: 20, row: 1, item: 1 }, { left: 10, right: 30, row: 0, item: 2 },
    { left: 50, right: 60, row: 0, item: 0 }]);
  assert.equal(rows, 2);
  const shown = lane(items([1500, 1600], [1550, 1700]), axis, () => false);
  assert.deepEqual([itemAt(shown, 55, 2, 18), itemAt(shown, 60, 16, 18), itemAt(shown, 20, 2, 18)], [0, 1, -1]);
});

test("without room it is how many there are, and how many failed", () => {
  const many = Array.from({ length: 50 }, () => ({ start_us: 1010, end_us: 1020 }));
  const { columns, failed, most, bars } = lane([...many, { start_us: 2000, end_us: 2001 }], axis, item => item === 50 || item === 3);
  assert.deepEqual([columns?.length, columns?.[0], columns?.[33], failed[0], failed[33], most, bars.length], [34, 50, 1, 1, 1, 50, 0]);
});

test("columns hold the largest of what they stand for", () => {
  assert.deepEqual([...thinned([1, 5, 2, 0, 0, 3], 3)], [5, 2, 3]);
  assert.deepEqual([...thinned([1, 2], 5)], [1, 2]);
});

const cpu = {
  from_us: 0, to_us: 250, bucket_us: 100, threads: [{ id: "7", on_cpu_us: [50, 0, 0], unknown_us: [0, 0, 50] },
    { id: "7", on_cpu_us: [80, 0, 0], unknown_us: [0, 0, 0] }],
  buckets: [{ start_us: 0, on_cpu_us: 200, runnable_us: 50, unknown_us: 0 }, { start_us: 100, on_cpu_us: 100, runnable_us: 0, unknown_us: 0 },
    { start_us: 200, on_cpu_us: 10, runnable_us: 0, unknown_us: 40 }],
};

test("cores are CPU time by time, the last bucket is as long as it is", () => {
  const { main, all, known, mean, most, last } = usage(cpu);
  assert.deepEqual([main, all, known, most, last], [[2, 1, 0.2], [2.5, 1, 1], true, 2, 1]);
  assert.deepEqual([mean(0, 250), mean(50, 150)], [310 / 250, 1.5]);
  assert.deepEqual([...activity(cpu).entries()].map(([id, busy]) => [id, [...busy]]), [["7", [1, 0, 1]]]);
});

test("without states it is threads that were not idle", () => {
  const none = { ...cpu, buckets: cpu.buckets.map(bucket => ({ ...bucket, on_cpu_us: 0, runnable_us: 0, unknown_us: 300 })) };
  assert.deepEqual([usage(none).known, usage(none).main], [false, [3, 3, 6]]);
  assert.equal(usage({ ...cpu, buckets: [] }).mean(0, 5), 0);
});

test("threads of one id are one, main ones first", () => {
  const row = (/** @type {string} */ id, /** @type {?string} */ name, /** @type {number} */ samples) => ({ id, name, weight: { us: samples * 10, samples } });
  const threads = threadsOf([row("3", "worker", 9), row("1", "MainThread", 2), row("3", "other", 5), row("4", null, 20)]);
  assert.deepEqual(threads.map(({ id, name, names, samples }) => [id, name, names, samples]),
    [["1", "MainThread", 1, 2], ["4", null, 1, 20], ["3", "worker", 2, 14]]);
  assert.deepEqual(laned(threads, ["3"], 2).map(({ id }) => id), ["1", "3"]);
});
