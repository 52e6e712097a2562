// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { crossing, csvLine, estimate, expected, monthName, monthOf, months, sums, window } from "../../server/web/usage/month.js";

const H = 3600e6;
const row = (/** @type {string} */ day, /** @type {number} */ hours, project = 1) => ({ project, day, platform: "python", profiles: 10, us: hours * H, sentry_seconds: hours * 3600 });
const at = (/** @type {string} */ time) => Date.parse(time);

test("months", () => {
  assert.deepEqual(months(at("2026-02-10T00:00:00Z"), 3), ["2026-02", "2026-01", "2025-12"]);
  assert.equal(monthName("2026-02"), "February 2026");
  assert.deepEqual(window("2026-12"), { from: Date.UTC(2026, 11) / 1000, to: Date.UTC(2027, 0) / 1000 });
});

test("the pace is that of whole days since the first profile, and the month ends at it", () => {
  const month = monthOf("2026-02", [row("2026-02-05", 10), row("2026-02-06", 20), row("2026-02-06", 6, 2), row("2026-02-07", 9), row("2026-01-31", 99)], at("2026-02-07T12:00:00Z"));
  assert.deepEqual([month.days, month.now, month.us / H, month.pace / H, month.since, month.forecast / H, month.isOver], [28, 6.5, 45, 18, 2, 45 + 18 * 21.5, false]);
  assert.deepEqual(month.projects.map(({ project, us, profiles }) => [project, us / H, profiles]), [[1, 39, 30], [2, 6, 10]]);
  assert.deepEqual(sums(month).slice(3, 8).map(us => us === null ? null : us / H), [0, 10, 36, 45, null]);
  assert.deepEqual(expected(month).slice(5, 8).map(us => us === null ? null : us / H), [null, 9, 18]);
});

test("on the first day the pace is that of the day so far", () => {
  const month = monthOf("2026-02", [row("2026-02-03", 3)], at("2026-02-03T06:00:00Z"));
  assert.deepEqual([month.pace / H, month.since], [12, 0.25]);
});

test("a month that is over expects nothing; one without profiles has no pace", () => {
  const over = monthOf("2026-01", [row("2026-01-31", 3)], at("2026-02-03T06:00:00Z"));
  assert.deepEqual([over.forecast / H, over.isOver, expected(over).every(us => us === null)], [3, true, true]);
  assert.deepEqual([monthOf("2026-02", [], at("2026-02-03T06:00:00Z")).pace, crossing(monthOf("2026-02", [], at("2026-02-03T06:00:00Z")), 5)], [0, null]);
});

test("a budget is reached in the past, in time to come, or not", () => {
  const month = monthOf("2026-02", [row("2026-02-01", 10), row("2026-02-02", 10)], at("2026-02-03T00:00:00Z"));
  assert.deepEqual([5, 15, 100, 281].map(hours => crossing(month, hours * H)), [0.5, 1.5, 10, null]);
});

test("what a fleet takes", () => {
  assert.deepEqual(estimate({ instances: 40, hours: 730, share: 0.25, rate: 100, threads: 10, bytesASample: 1.5, days: 30 }), { hours: 7300, bytes: 7300 * 3600 * 100 * 10 * 1.5 });
});

test("a table for spreadsheets holds no formula", () => {
  assert.equal(csvLine(["2026-02-01", "=cmd()", 'a "b", c', -4, "x"]), `2026-02-01,'=cmd(),"a ""b"", c",-4,x`);
});
