// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, cores, count, duration, percent, points } from "../../server/web/data/format.js";

/** @param {string} text */
const plain = text => text.replaceAll("\u202f", " ");

test("times have three figures", () => {
  const times = [0, 7, 420, 19e3, 322e3, 999.4e3, 7.89e6, 53.8e6, 59.97e6, 60e6, 252e6, 3599.7e6, 6480e6];
  assert.deepEqual(times.map(duration).map(plain), ["0 ms", "7 µs", "420 µs", "19.0 ms", "322 ms", "999 ms", "7.89 s", "53.8 s", "60.0 s", "1 min", "4 min 12 s",
    "60 min", "1.80 h"]);
});

test("only nothing is 0 %", () => {
  assert.deepEqual([[0, 5], [1, 1e6], [1, 3], [3, 3], [0, 0]].map(([part, whole]) => plain(percent(part, whole))), ["0 %", "<0.1 %", "33.3 %", "100.0 %", "0 %"]);
});

test("counts, cores, bytes, points", () => {
  assert.deepEqual([count(25412), count(1.46e6), cores(1.456), bytes(999), bytes(4205), points(0.062), points(-0.0061), points(0.0001)].map(plain),
    ["25,412", "1.46 M", "1.46", "999 B", "4.21 kB", "+6.2 pt", "−0.6 pt", "0.0 pt"]);
});
