// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Kolkata";
const { span, ticks } = await import("../../server/web/data/axis.js");

// 2026-11-27 14:00:00 in Kolkata, which is five and a half hours ahead.
const noon = 1795768200e6;

test("ticks stand at round times here", () => {
  assert.deepEqual(ticks(noon, noon + 3600e6, 8).map(({ text }) => text), ["14:00", "14:10", "14:20", "14:30", "14:40", "14:50", "15:00"]);
  assert.deepEqual(ticks(noon + 1, noon + 86400e6, 5).map(({ text }) => text), ["18:00", "00:00", "06:00", "12:00"]);
  assert.deepEqual(ticks(noon, noon + 4e6, 4).map(({ text }) => text), ["14:00:00", "14:00:01", "14:00:02", "14:00:03", "14:00:04"]);
  assert.deepEqual(ticks(noon + 50, noon + 450e3, 4).map(({ text }) => text), ["14:00:00.2", "14:00:00.4"]);
  assert.deepEqual(ticks(noon, noon + 7 * 86400e6, 7).map(({ text }) => text), ["28 Nov", "29 Nov", "30 Nov", "1 Dec", "2 Dec", "3 Dec", "4 Dec"]);
});

test("no span has no ticks", () => {
  assert.deepEqual([ticks(5, 5, 8), ticks(7, 5, 8), ticks(0, 5, 0)], [[], [], []]);
});

test("ends of a window are as fine as it is long", () => {
  assert.equal(span(noon, noon + 252e6), "14:00:00 – 14:04:12");
  assert.equal(span(noon + 34.8e6, noon + 37.2e6), "14:00:34.8 – 14:00:37.2");
});

test("thousands of years have no more ticks than there is room for", () => {
  for (const years of [1, 50, 3000]) {
    const list = ticks(0, years * 365 * 86400e6, 10);
    assert.ok(list.length >= 3 && list.length <= 12, `${list.length} in ${years} years`);
  }
});
