// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { aligned, load } from "../../server/web/data/load.js";
import { inTurn } from "../../server/web/data/pool.js";
import { worst } from "../../server/web/data/quality.js";
import { ago, command, isProduction } from "../../server/web/home/words.js";

const bucket = (/** @type {number} */ start_us, on_cpu_us = 0, unknown_us = 0) => ({ start_us, on_cpu_us, runnable_us: 0, sleeping_us: 0, unknown_us });

test("steps of a chart stay where they are when it is asked again", () => {
  assert.deepEqual(aligned(3, 603, 120), { from: 5, to: 605 });
  assert.deepEqual(aligned(5, 605, 120), { from: 5, to: 605 });
});

test("load is cores while something was profiled, else nothing; the last step counts for as long as it is known", () => {
  const of = load([bucket(0, 0), bucket(10, 20), bucket(20, 8), bucket(30, 0)], 10, 10, 24);
  assert.deepEqual(of, { values: [null, 2, 2, null], hasStates: true, us: 28 });
});

test("without states of threads, load is what was not idle", () => {
  assert.deepEqual(load([bucket(0, 0, 30)], 10, 0, 10), { values: [3], hasStates: false, us: 30 });
});

test("jobs run so many at a time, and a failure is told when all have ended", async () => {
  let now = 0, most = 0;
  /** @type {number[]} */ const done = [];
  const job = (/** @type {number} */ number) => async () => {
    most = Math.max(most, ++now);
    await new Promise(resolve => setTimeout(resolve, 1));
    now--;
    if (number === 2) throw new Error("no");
    done.push(number);
  };
  await assert.rejects(inTurn([1, 2, 3, 4, 5].map(job), 2), /no/);
  assert.deepEqual([most, done.sort()], [2, [1, 3, 4, 5]]);
});

/** @param {Partial<import("../../server/web/data/quality.js").Quality>} some @param {Record<string, any>} [counted] */
const quality = (some, counted = {}) => worst({ profiles: 5, span_us: 10e6, ticks: 1009, ticks_asked: 1010, agent_cpu_us: 0, counters: { samples: 10000, late: 0, truncated: {}, guessed: 0, ...counted }, ...some });

test("the worst of the quality is said in words", () => {
  assert.deepEqual(quality({}), { level: "ok", words: "100.9\u202fHz" });
  assert.deepEqual(quality({}, { late: 40, truncated: { depth: 300, unknown: 110 } }), { level: "warn", words: "truncated 4.1\u202f%" });
  assert.deepEqual(quality({}, { late: 400, guessed: 1300 }), { level: "bad", words: "guessed 13.0\u202f%" });
  assert.deepEqual(quality({ ticks: 900 }, { late: 100 }), { level: "warn", words: "rate 90.0 of 101\u202fHz" });
  assert.deepEqual(quality({ ticks: 623 }), { level: "bad", words: "rate 62.3 of 101\u202fHz" });
  assert.deepEqual(quality({ profiles: 0 }), { level: "none", words: "not said by the SDK" });
  assert.deepEqual(quality({ covers: { profiles: 58, damaged: [1, 2] } }), { level: "bad", words: "2 of 60 chunks cannot be read" });
});

test("words", () => {
  assert.deepEqual([null, "production", "prod", "Prod-eu", "staging", "product"].map(isProduction), [true, true, true, true, false, false]);
  assert.deepEqual([-5, 3e6, 600e6, 7200e6, 200000e6].map(ago), ["0\u202fs ago", "3\u202fs ago", "10\u202fmin ago", "2\u202fh ago", "2 days ago"]);
  assert.equal(command("http://k@h/1", "--pid 7"), "SENTRY_DSN=http://k@h/1 sentry-profiled --pid 7");
  assert.equal(command(undefined, "--pid 7"), "sentry-profiled --pid 7");
});
