// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { dice } from "./stacks.js";

// What reads the page's own address is not here.
Object.assign(globalThis, { location: { hash: "" } });
const { frames } = await import("../../server/web/trace/frames.js");
const { profileAddress, sliceOf } = await import("../../server/web/trace/slice.js");

/** A timeline of one thread: stacks of places in `abc...`, each so long, one behind the other. @param {number[][]} stacks @param {[number, number][]} stays stack and length */
function timeline(stacks, stays) {
  let at = 0;
  const start_us = stays.map(([, length]) => { at += length; return at - length; });
  return {
    from_us: 1000, to_us: 1000 + at, origin_us: 1000, stacks, functions: [..."abcdefgh"].map(name => [name, null, null, null, null, null, name > "d"]),
    threads: [{}], intervals: { thread: stays.map(() => 0), stack: stays.map(([stack]) => stack), start_us, length_us: stays.map(([, length]) => length), state: [] },
  };
}

/** @param {ReturnType<typeof frames>} of */
const text = of => of.frames.map(({ row, begin, end, func }) => `${row} ${of.functions[func].name} ${begin} ${end}`);

test("what all stacks have in common is left out, neighbours are one frame", () => {
  assert.deepEqual(text(frames(timeline([[0, 1, 2], [0, 1, 2, 3], [0, 1, 3]], [[0, 2], [1, 2], [2, 4]]))), ["0 c 0 0.5", "1 d 0.25 0.5", "0 d 0.5 1"]);
  assert.deepEqual(text(frames(timeline([[0, 1]], [[0, 4]]))), ["0 b 0 1"], "the last frame is never left out");
});

test("what calls the application is left out, too", () => {
  assert.deepEqual(text(frames(timeline([[0, 4, 1], [2, 3, 5], [0, 1]], [[0, 1], [1, 1], [2, 2]]))), ["0 e 0 0.25", "1 b 0 0.25", "0 f 0.25 0.5", "0 a 0.5 1", "1 b 0.5 1"]);
});

test("a frame below another one ends with it", () => {
  assert.deepEqual(text(frames(timeline([[0, 2], [1, 2]], [[0, 1], [1, 1]]))), ["0 a 0 0.5", "1 c 0 0.5", "0 b 0.5 1", "1 c 0.5 1"]);
});

test("an idle thread parts what is before it from what is behind it", () => {
  assert.deepEqual(text(frames(timeline([[0, 1], []], [[0, 1], [1, 2], [0, 1]]))), ["0 b 0 0.25", "0 b 0.75 1"]);
  assert.deepEqual(frames(timeline([], [])).frames, []);
});

test("at each moment the frames are the stack's of that moment", () => {
  const next = dice(21), below = (/** @type {number} */ most) => Math.floor(next() * most);
  for (let turn = 0; turn < 300; turn++) {
    const whole = Array.from({ length: 6 }, () => Array.from({ length: below(6) }, () => below(turn % 2 === 0 ? 4 : 8)));
    const stacks = whole.map(stack => stack.some(at => at > 3) ? stack.slice(stack.findIndex(at => at > 3)) : stack);
    const stays = Array.from({ length: 1 + below(12) }, () => /** @type {[number, number]} */ ([below(6), 1 + below(3)]));
    const of = frames(timeline(whole, stays)), all = stays.reduce((sum, [, length]) => sum + length, 0);
    const seen = [...new Set(stays.map(([stack]) => stack))].map(at => stacks[at]).filter(stack => stack.length > 0);
    let trunk = 0;
    while (seen.length > 0 && seen.every(stack => stack.length > trunk + 1 && stack[trunk] === seen[0][trunk])) trunk++;
    let at = 0;
    for (const [stack, length] of stays) {
      const moment = (at + length / 2) / all, there = of.frames.filter(({ begin, end }) => begin <= moment && moment < end).sort((a, b) => a.row - b.row);
      assert.deepEqual(there.map(({ func }) => func), stacks[stack].slice(trunk, trunk + 3), JSON.stringify({ stacks, stays }));
      at += length;
    }
  }
});

test("a slice opens with some time around it", () => {
  const slice = sliceOf("2", { profiler_id: null, profile_id: "p", thread_id: "7", start_us: 10e6, end_us: 10.5e6 });
  assert.ok(slice);
  assert.equal(profileAddress(slice), "?project=2&instance=p&from=9.000000&to=11.500000&tid=7&w0=10000000&w1=10500000");
  assert.equal(profileAddress({ project: "1", profiler: "p", thread: "", begin: 5, end: 5 }), "?instance=p&from=0.000000&to=1.000005&w0=5&w1=6");
  assert.equal(sliceOf("1", { profiler_id: null, profile_id: null, thread_id: "7", start_us: 0, end_us: 1 }), null);
});
