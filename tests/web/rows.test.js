// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { added, shares } from "../../server/web/data/shares.js";
import { beyondNoise, found, statesOf } from "../../server/web/transactions/rows.js";
import { dice } from "./stacks.js";

/** @param {string} name @param {number} sum_us @param {number} [with_profile] */
const row = (name, sum_us, with_profile = 1) => ({ name, op: null, count: 2, with_profile, failed: 0, p50_us: 1, p95_us: sum_us % 7, sum_us });
const ROWS = [row("GET /b", 10), row("GET /a", 30), row("POST /c", 20, 0)];
/** @param {Partial<{q: string, profiled: boolean, sort: any, up: boolean}>} [shown] */
const names = ({ q = "", profiled = false, sort = "total", up = false } = {}) => found(ROWS, q, profiled, sort, up).map(({ name }) => name);

test("names are found and sorted, and the answer itself stays as it is", () => {
  assert.deepEqual(names(), ["GET /a", "POST /c", "GET /b"]);
  assert.deepEqual(names({ up: true }), ["GET /b", "POST /c", "GET /a"]);
  assert.deepEqual(names({ sort: "name" }), ["GET /a", "GET /b", "POST /c"]);
  assert.deepEqual(names({ sort: "name", up: true }), ["POST /c", "GET /b", "GET /a"]);
  assert.deepEqual(names({ sort: "count" }), ["GET /a", "POST /c", "GET /b"], "ties by their total");
  assert.deepEqual(names({ q: " get " }), ["GET /a", "GET /b"]);
  assert.deepEqual(names({ profiled: true }), ["GET /a", "GET /b"]);
  assert.deepEqual(ROWS.map(({ name }) => name), ["GET /b", "GET /a", "POST /c"]);
});

test("only differences beyond their error are told, the largest first", () => {
  const next = dice(5), all = Array.from({ length: 200 }, (_, function_) => ({ function: function_, own: { difference: next() - 0.5, error_95: next() * 0.6 } }));
  const told = beyondNoise(all);
  assert.equal(told.length, 12);
  assert.ok(told.every(({ own }) => Math.abs(own.difference) > own.error_95));
  const least = Math.abs(told[11].own.difference);
  for (const of of all) if (!told.includes(of)) assert.ok(Math.abs(of.own.difference) <= of.own.error_95 || Math.abs(of.own.difference) <= least);
  assert.deepEqual(beyondNoise([{ function: 1, own: { difference: 0, error_95: 0 } }]), []);
});

test("time by state is summed by name; the list counts where the sample has none", () => {
  /** @param {string} name @param {?Record<string, number>} states_us */
  const item = (name, states_us) => ({ transaction: { name }, has_profile: states_us !== null, states_us });
  const states = statesOf([item("a", { on_cpu: 1, sleeping: 2 }), item("a", { on_cpu: 3 }), item("b", null)], [item("a", { on_cpu: 100 }), item("c", { lock: 5 })]);
  assert.deepEqual(Object.fromEntries(states), { a: { on_cpu: 4, sleeping: 2 }, c: { lock: 5 } });
  assert.equal(statesOf(undefined, undefined).size, 0);
});

test("classes of states become the parts that people tell apart, and no time is lost", () => {
  const parts = shares({ on_cpu: 1, on_cpu_with_lock: 2, runnable_with_lock: 4, awaits_lock: 8, sleeping_with_lock: 16, unknown: 32, "of tomorrow": 64 });
  assert.deepEqual(parts.map(({ value }) => value), [3, 4, 8, 16, 96]);
  assert.deepEqual(added({ a: 1 }, { a: 2, b: 3 }), { a: 3, b: 3 });
});
