// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { sceneOf, sceneOfChart, search, Seen, SLIVER } from "../../server/web/data/scene.js";
import { chart } from "../../server/web/data/timeline.js";
import { dice, func, random, tree, treeOf } from "./stacks.js";

const NAMES = [..."abcdef"];

/** A tree with many narrow frames. @param {number} seed */
function wide(seed) {
  const next = dice(seed);
  return tree(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`r;s${at % 7};f${at};g${at % 3}`, Math.ceil(next() ** 6 * 5000)])));
}

test("the first node that ends behind a time, as a walk finds it", () => {
  for (let seed = 0; seed < 50; seed++) {
    const scene = sceneOf(wide(seed), false), next = dice(seed);
    for (let row = 0; row < scene.rows; row++) {
      const from = scene.first[row], to = scene.first[row + 1], time = next() * scene.span * 1.1;
      const start = from + Math.floor(next() * (to - from));
      let place = start;
      while (place < to && scene.begin[scene.nodes[place]] + scene.tree.total[scene.nodes[place]] <= time) place++;
      assert.equal(search(scene.right, time, start, to), place);
    }
  }
});

test("whatever is in view is seen once: as a frame, or in a sliver that is in its place", () => {
  const seen = new Seen();
  for (let seed = 0; seed < 200; seed++) {
    const scene = sceneOf(seed % 2 ? wide(seed) : treeOf(random(seed), NAMES), seed % 3 === 0), next = dice(seed + 1000);
    const a = next() * scene.span, b = next() * scene.span, from = Math.min(a, b), to = Math.max(a, b) + 1, pixels = 20 + Math.floor(next() * 500), scale = pixels / (to - from);
    seen.look(scene, from, to, pixels, 0, scene.rows);
    /** How often each node is seen. */ const times = new Uint8Array(scene.tree.depth.length);
    for (let at = 0; at < seen.count; at++) {
      const node = seen.node[at], left = (scene.begin[node] - from) * scale, right = left + scene.tree.total[node] * scale;
      times[node]++;
      assert.ok(right - left >= SLIVER && Math.abs(seen.left[at] - Math.max(0, left)) < 1e-6 && Math.abs(seen.right[at] - Math.min(pixels, right)) < 1e-6);
    }
    for (let at = 0; at < seen.slivers; at++) {
      for (let place = seen.from[at]; place < seen.to[at]; place++) {
        const node = scene.nodes[place], left = (scene.begin[node] - from) * scale, right = left + scene.tree.total[node] * scale;
        times[node]++;
        assert.equal(scene.row[node], seen.sliverRow[at]);
        assert.ok(right - left <= 1 + 1e-6, "no wide frame is lost in a sliver");
        assert.ok(right >= seen.sliverLeft[at] - 1 && Math.min(left, pixels) <= seen.sliverRight[at] + 1, "it is where the sliver is");
      }
    }
    for (let node = 0; node < times.length; node++) {
      const begin = scene.begin[node], end = begin + scene.tree.total[node], isPlaced = node >= scene.folded && scene.tree.total[node] > 0;
      const isIn = isPlaced && end > from && (begin - from) * scale < pixels;
      assert.ok(times[node] <= 1 && (!isIn || times[node] === 1), `node ${node} seen ${times[node]} times, seed ${seed}`);
    }
  }
});

test("the trunk is folded into a row of its own", () => {
  const deep = tree({ "a;b;c;x": 1, "a;b;c;y": 2 });
  const scene = sceneOf(deep, true);
  assert.deepEqual([scene.folded, scene.rows, ...scene.row], [3, 2, 0, 0, 0, 1, 1]);
  assert.deepEqual(sceneOf(deep, false).rows, 4);
  // One frame is no trunk worth folding.
  assert.deepEqual([sceneOf(tree({ "a;x": 1, "a;y": 2 }), true).folded, sceneOf(tree({ "a;x": 1, "a;y": 2 }), true).rows], [0, 2]);
  assert.equal(sceneOf(tree({}), true).rows, 0);
});

test("threads stand below each other, under their names", () => {
  const of = chart({
    origin: 0, span: 100, functions: ["a", "b"].map(func), stacks: [[0, 1], [0]], threads: [{ profiler_id: "p", id: "1", name: "main" }, { profiler_id: "p", id: "2", name: null }],
    intervals: { thread: [0, 1], stack: [0, 1], start_us: [10, 20], length_us: [5, 5], state: ["on_cpu", "on_cpu"] },
  }, [0, 1]);
  const scene = sceneOfChart(of, ({ id }) => id);
  assert.deepEqual([scene.rows, scene.heads, ...scene.row], [5, [{ row: 0, text: "1", trunk: [] }, { row: 3, text: "2", trunk: [] }], 1, 2, 4]);
});
