// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { busiest, chart, pilled } from "../../server/web/data/timeline.js";
import { dice, func } from "./stacks.js";

const functions = [..."abcd"].map(func);
const threads = ["1", "2", "3"].map(id => ({ profiler_id: "p", id, name: null }));

/** Intervals that follow each other, some after a gap. @param {number} seed @returns {import("../../server/web/data/timeline.js").Timeline} */
function random(seed) {
  const next = dice(seed), below = (/** @type {number} */ most) => Math.floor(next() * most);
  const stacks = Array.from({ length: 12 }, (_, at) => at === 0 ? [] : Array.from({ length: 1 + below(4) }, () => below(4)));
  const rows = threads.flatMap((_, thread) => {
    let at = below(50);
    return Array.from({ length: below(20) }, () => {
      const start = at + (below(4) === 0 ? 10 + below(20) : 0), length = 1 + below(30);
      at = start + length;
      return { thread, stack: below(stacks.length), start, length, state: ["on_cpu", "sleeping", "awaits_lock"][below(3)] };
    });
  }).sort((a, b) => a.start - b.start || a.thread - b.thread);
  return {
    origin: 0, span: 1000, functions, stacks, threads,
    intervals: { thread: rows.map(row => row.thread), stack: rows.map(row => row.stack), start_us: rows.map(row => row.start), length_us: rows.map(row => row.length), state: rows.map(row => row.state) },
  };
}

/** Frames of a thread the slow way: at each depth, runs of intervals without a gap that have the same frames down to there.
 *  @param {import("../../server/web/data/timeline.js").Timeline} of @param {number} thread */
function naive({ stacks, intervals }, thread) {
  const rows = intervals.thread.map((of, at) => ({ of, stack: stacks[intervals.stack[at]], start: intervals.start_us[at], end: intervals.start_us[at] + intervals.length_us[at] })).filter(({ of }) => of === thread);
  /** @type {string[]} */ const frames = [];
  for (let depth = 0; depth < 4; depth++) {
    let start = -1, end = -1, path = "";
    const close = () => { if (start >= 0) frames.push(`${start} ${depth} ${path} until ${end}`); start = -1; };
    for (const row of rows) {
      const here = row.stack.length > depth ? row.stack.slice(0, depth + 1).map(at => functions[at].name).join(";") : "";
      if (here === "" || here !== path || row.start !== end) close();
      if (here !== "" && start < 0) start = row.start;
      path = here;
      end = row.end;
    }
    close();
  }
  return frames.sort();
}

test("adjoining intervals with the same frames from the root are one frame, as the naive model has it", () => {
  for (let seed = 0; seed < 300; seed++) {
    const of = random(seed), drawn = chart(of, [0, 1, 2]);
    for (const { id, first, end } of drawn.tracks) {
      /** @type {string[]} */ const path = [], frames = [];
      for (let node = first; node < end; node++) {
        path.length = drawn.depth[node];
        path.push(functions[drawn.func[node]].name);
        frames.push(`${drawn.begin[node]} ${drawn.depth[node]} ${path.join(";")} until ${drawn.begin[node] + drawn.total[node]}`);
      }
      assert.deepEqual(frames.sort(), naive(of, Number(id) - 1), `seed ${seed}`);
    }
    const sum = (/** @type {ArrayLike<number>} */ column) => Array.from(column).reduce((sum, us) => sum + us, 0);
    assert.equal(sum(drawn.own), drawn.all);
    assert.equal((drawn.states ?? []).reduce((all, { own }) => all + sum(own), 0), drawn.all);
  }
});

test("only the threads that are asked for, in that order", () => {
  const of = random(5);
  assert.deepEqual(chart(of, [2, 0]).tracks.map(({ id }) => id), ["3", "1"]);
  assert.deepEqual(chart(of, []).tracks, []);
});

test("threads that worked most come first, those that only slept behind them", () => {
  const of = random(1);
  const intervals = { thread: [0, 1, 1, 2], stack: [1, 1, 1, 1], start_us: [0, 0, 5, 0], length_us: [100, 5, 3, 7], state: ["sleeping", "on_cpu", "sleeping", "unknown"] };
  assert.deepEqual(busiest({ ...of, intervals }), [2, 1, 0]);
});

test("what all stacks of a thread begin with is folded, as long as a frame is left", () => {
  const folded = (/** @type {number[][]} */ stacks) => {
    const intervals = { thread: stacks.map(() => 0), stack: stacks.map((_, at) => at), start_us: stacks.map((_, at) => at * 10), length_us: stacks.map(() => 10), state: stacks.map(() => "on_cpu") };
    const { tracks: [track], func, all } = chart({ origin: 0, span: 100, functions, stacks, threads, intervals }, [0], undefined, true);
    return [track.folded.map(at => functions[at].name).join(""), Array.from(func, at => functions[at].name).join(""), track.rows, all];
  };
  assert.deepEqual(folded([[0, 1, 2], [0, 1, 3, 2], []]), ["ab", "cdc", 2, 20]);
  assert.deepEqual(folded([[0, 1, 2], [0, 1]]), ["", "abc", 3, 20]);
  assert.deepEqual(folded([[0, 1, 2], [1, 2]]), ["", "abcbc", 3, 20]);
  assert.deepEqual(folded([[0, 1, 2]]), ["ab", "c", 1, 10]);
  assert.deepEqual(folded([[]]), ["", "", 0, 0]);
});

test("pills change stacks", () => {
  const change = (/** @type {string} */ kind, /** @type {string} */ name) => pilled(functions, [{ kind, name }])([0, 1, 2, 1, 3]).map(at => functions[at].name).join("");
  assert.deepEqual([change("hide:fn", "b"), change("focus", "c"), change("focus", "x"), change("rec", "b"), change("hide:pkg", "x"), change("trunk", "0")], ["acd", "cbd", "", "abd", "abcbd", "abcbd"]);
});
