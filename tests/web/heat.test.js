// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { boundOf, chosenOf, columnsOf, decades, heat, level, rectOf, rectOfChosen, rowOf, spanWords, sum, timeTicks } from "../../server/web/transactions/heat.js";
import { dice } from "./stacks.js";

const ROWS = [0, 178, 316, 562, 1000, 1778, 3162, 5623, 10000, 17783, 31623, 56234, 100000, 177828, 316228, 562341, 1000000, 1778279];
/** @param {number[][]} cells @param {number} [columns] */
const map = (cells, columns = 10, profiled = false) => heat({ from_us: 600e6, to_us: (600 + columns * 60) * 1e6, column_us: 60e6, rows: ROWS, cells, count: 0, profiled: 0 }, profiled);

test("columns are as wide as people count and do not move with the time", () => {
  assert.deepEqual(columnsOf(1000, 4600), { from: 960, to: 4620, width: 60, many: 61 });
  for (let second = 0; second < 60; second++) assert.equal(columnsOf(4000 + second, 7600 + second).width, 60);
  const next = dice(1);
  for (let turn = 0; turn < 2000; turn++) {
    const from = next() * 1.8e9, length = 10 ** (next() * 8), { from: first, to, width, many } = columnsOf(from, from + length);
    assert.ok(first <= from && to >= from + length && first % width === 0 && many <= 98, `${from} ${length}`);
    assert.ok(Math.abs(first + many * width - to) < 1e-6);
  }
});

test("a duration is in the row that begins at or below it", () => {
  const next = dice(2);
  for (let turn = 0; turn < 2000; turn++) {
    const us = Math.floor(10 ** (next() * 8)), naive = ROWS.filter(row => row <= us).length - 1;
    assert.equal(rowOf(ROWS, us), naive);
  }
  assert.equal(rowOf(ROWS, 0), 0);
});

test("cells are counted, those beyond the map are not", () => {
  const of = map([[0, 8, 5, 1, 4], [9, 12, 3, 0, 3], [10, 3, 9, 9, 9], [0, 99, 9, 9, 9], [-1, 0, 1, 1, 1]]);
  assert.equal(of.most, 5);
  assert.deepEqual(sum(of, { c0: 0, c1: 9, r0: 0, r1: ROWS.length - 1 }), { count: 8, failed: 1, profiled: 7 });
  assert.deepEqual(sum(map([[0, 8, 5, 1, 4]], 10, true), rectOf({ column: 0, row: 8 }, { column: 0, row: 8 })), { count: 4, failed: 1, profiled: 4 });
  assert.ok(of.low <= 4 && of.high >= 16, "a millisecond and a second are always shown");
});

test("what is chosen comes back from the address as the same cells", () => {
  const next = dice(3), of = map([[0, 8, 5, 1, 4], [3, 2, 1, 0, 0]]);
  for (let turn = 0; turn < 2000; turn++) {
    const cell = () => ({ column: Math.floor(next() * of.columns), row: of.low + Math.floor(next() * (of.high - of.low + 1)) });
    const rect = rectOf(cell(), cell());
    assert.deepEqual(rectOfChosen(of, chosenOf(of, rect)), { rect, exact: true });
  }
  assert.equal(rectOfChosen(of, { w0: "1", w1: "2", min: "", max: "" }), null);
  assert.equal(rectOfChosen(of, { w0: "9999999999", w1: "", min: "", max: "" }), null);
  assert.equal(rectOfChosen(of, { w0: "630000000", w1: "660000000", min: "", max: "" })?.exact, false, "half of a column is not all of its count");
});

test("sums of a choice are those of its cells", () => {
  const next = dice(4);
  for (let turn = 0; turn < 200; turn++) {
    const cells = Array.from({ length: 30 }, () => [Math.floor(next() * 10), Math.floor(next() * ROWS.length), Math.floor(next() * 9) + 1, 0, 1]);
    const of = map(cells), rect = rectOf({ column: Math.floor(next() * 10), row: Math.floor(next() * 18) }, { column: Math.floor(next() * 10), row: Math.floor(next() * 18) });
    const naive = cells.filter(([column, row]) => column >= rect.c0 && column <= rect.c1 && row >= rect.r0 && row <= rect.r1).reduce((sum, [, , many]) => sum + many, 0);
    assert.equal(sum(of, rect).count, naive);
  }
});

test("shades rise with the count and end with the fullest cell", () => {
  assert.equal(level(0, 100), 0);
  assert.equal(level(1, 100), 1);
  assert.equal(level(100, 100), 5);
  assert.equal(level(1, 1), 5);
  for (let many = 1; many < 100; many++) assert.ok(level(many + 1, 100) >= level(many, 100));
});

test("powers of ten stand where their rows begin", () => {
  const of = map([]);
  for (const { us, at } of decades(of)) {
    const row = of.low + Math.floor(at);
    assert.ok(boundOf(ROWS, row) <= us * 1.001 && us <= boundOf(ROWS, row + 1) * 1.001, `${us} at ${at}`);
  }
  assert.deepEqual(decades(of).map(({ us }) => us), [1e3, 1e4, 1e5, 1e6]);
  assert.equal(boundOf([0], 1), Infinity);
});

test("an axis has as many times as there is room for", () => {
  for (const columns of [1, 10, 60, 96]) for (const most of [2, 5, 12]) {
    const ticks = timeTicks(map([], columns), most);
    assert.ok(ticks.length <= most + 1 && ticks.every(({ at }) => at >= 0 && at <= 1), `${columns} ${most}`);
  }
});

test("a choice in words", () => {
  assert.match(spanWords({ w0: "", w1: "", min: "1000", max: "" }), /^from 1\.00\u202fms$/);
  const chosen = { w0: "60000000", w1: "120000000", min: "", max: "2000" };
  assert.match(spanWords(chosen, 60e3), /^\d\d:\d1 – \d\d:\d2, below 2\.00\u202fms$/);
  assert.match(spanWords(chosen), /^\d+ \w+ \d\d:\d1 – \d\d:\d2, below/, "another day is said");
});
