// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { callers, collapse, end, focus, frameOf, hide, hottest, inverted, layout, neighbours, nodeOf, onCpu, trunk } from "../../server/web/data/tree.js";
import { full, lines, merged, named, random, stacksOf, tree, treeOf } from "./stacks.js";

const shop = tree({
  "main;serve;view;rules": 40, "main;serve;view;rules;match": 25, "main;serve;view": 5, "main;serve;log;match": 10, "main;idle": 20,
});

test("stacks become a tree, children largest first", () => {
  assert.deepEqual(lines(shop), [
    "all 100", "main 100", "  serve 80", "    view 70 self 5", "      rules 65 self 40", "        match 25 self 25",
    "    log 10", "      match 10 self 10", "  idle 20 self 20",
  ]);
});

test("each node begins where its elder sibling ends", () => {
  const { begin, parent } = layout(shop);
  assert.deepEqual([...begin], [0, 0, 0, 0, 0, 70, 70, 80]);
  assert.deepEqual([...parent], [-1, 0, 1, 2, 3, 1, 5, 0]);
  assert.deepEqual([0, 2, 4, 7].map(node => end(shop, node)), [8, 5, 5, 8]);
});

test("hidden functions give their time to their callers", () => {
  assert.deepEqual(lines(hide(shop, named(shop, "rules"))), [
    "all 100", "main 100", "  serve 80", "    view 70 self 45", "      match 25 self 25", "    log 10", "      match 10 self 10", "  idle 20 self 20",
  ]);
  assert.deepEqual(lines(hide(shop, named(shop, "main"))).slice(0, 2), ["all 100", "serve 80"]);
});

test("focus keeps what is at or below a function", () => {
  assert.deepEqual(lines(focus(shop, named(shop, "match"))), ["all 35", "match 35 self 35"]);
  assert.deepEqual(lines(focus(shop, named(shop, "serve"))).slice(0, 3), ["all 80", "serve 80", "  view 70 self 5"]);
});

test("recursion becomes one call, direct or not", () => {
  const deep = tree({ "a;f;f;f;g": 3, "a;f;h;f": 4, "a;f;f": 2 });
  assert.deepEqual(lines(collapse(deep, named(deep, "f"))), ["all 9", "a 9", "  f 9 self 6", "    g 3 self 3"]);
  assert.deepEqual(lines(collapse(deep, named(deep, "g"))), lines(deep));
});

test("upside down, the roots took the time", () => {
  assert.deepEqual(lines(inverted(shop)).filter(line => !line.startsWith("    ")), [
    "all 100", "rules 40", "  view 40", "match 35", "  rules 25", "  log 10", "idle 20", "  main 20 self 20", "view 5", "  serve 5",
  ]);
});

test("callers of a function have all of its time, recursion once", () => {
  assert.deepEqual(lines(callers(shop, named(shop, "match"))), [
    "all 35", "match 35", "  rules 25", "    view 25", "      serve 25", "        main 25 self 25", "  log 10", "    serve 10", "      main 10 self 10",
  ]);
  const deep = tree({ "a;f;g;f": 3 });
  assert.deepEqual(lines(callers(deep, named(deep, "f"))), ["all 3", "f 3", "  a 3 self 3"]);
});

test("functions, hottest first, recursion once", () => {
  const deep = tree({ "a;f;g;f": 3, "a;f": 4 });
  const rows = hottest(deep).map(({ func, own, total }) => `${deep.functions[func].name} ${own} of ${total}`);
  assert.deepEqual(rows, ["f 7 of 7", "a 0 of 7", "g 0 of 3"]);
});

test("neighbours of a function", () => {
  const { total, own, callers: above, callees } = neighbours(shop, named(shop, "rules"));
  const names = (/** @type {{func: number, total: number}[]} */ rows) => rows.map(row => `${shop.functions[row.func].name} ${row.total}`);
  assert.deepEqual([total, own, names(above), names(callees)], [65, 40, ["view 65"], ["match 25"]]);
});

test("an empty tree stays one", () => {
  const none = tree({});
  for (const of of [hide(none, () => true), focus(none, () => true), collapse(none, () => true), inverted(none), callers(none, () => true)]) {
    assert.deepEqual(lines(of), ["all 0"]);
  }
});

const NAMES = [..."abcdef"];
/** What becomes of a stack, root first, in the naive model. @typedef {import("./stacks.js").Stack} Stack */

/** @param {(names: string[]) => string[]} change @returns {(stacks: Stack[]) => Stack[]} */
const each = change => stacks => stacks.map(stack => ({ ...stack, names: change(stack.names) }));

/** @param {string[]} names */
function withoutRecursion(names) {
  /** @type {string[]} */ const out = [];
  for (const name of names) {
    const first = name === "c" ? out.indexOf("c") : -1;
    if (first >= 0) out.length = first + 1; else out.push(name);
  }
  return out;
}

/** @type {[string, (tree: import("../../server/web/data/tree.js").Tree) => import("../../server/web/data/tree.js").Tree, (stacks: Stack[]) => Stack[]][]} */
const TRANSFORMS = [
  ["hide", tree => hide(tree, named(tree, "b")), each(names => names.filter(name => name !== "b"))],
  ["focus", tree => focus(tree, named(tree, "c")), each(names => names.includes("c") ? names.slice(names.indexOf("c")) : [])],
  ["collapse", tree => collapse(tree, named(tree, "c")), each(withoutRecursion)],
  ["inverted", inverted, each(names => [...names].reverse())],
  ["callers", tree => callers(tree, named(tree, "d")), each(names => names.slice(0, names.indexOf("d") + 1).reverse())],
  ["on CPU", onCpu, stacks => stacks.map(({ names, states }) => ({ names, us: states.on_cpu, samples: 0, states: { on_cpu: states.on_cpu } }))],
];

for (const [name, fast, naive] of TRANSFORMS) {
  test(`${name} does to random trees what the naive model does, with samples and states`, () => {
    for (let seed = 0; seed < 200; seed++) {
      const stacks = random(seed), of = treeOf(stacks, NAMES);
      assert.deepEqual(full(of), merged(stacks, NAMES), `the tree itself, seed ${seed}`);
      // Where a frame stands twice on the way up, only the outer one of it counts for its callers.
      assert.deepEqual(full(fast(of)), merged(naive(stacks), NAMES), `seed ${seed}`);
      assert.deepEqual(full(fast(hide(of, named(of, "a")))), merged(naive(stacksOf(hide(of, named(of, "a")))), NAMES), `behind another, seed ${seed}`);
    }
  });
}

test("sums over states stay the own time", () => {
  for (const of of [treeOf(random(1), NAMES), inverted(treeOf(random(2), NAMES)), hide(treeOf(random(3), NAMES), func => func === 0)]) {
    for (let node = 0; node < of.depth.length; node++) assert.equal((of.states ?? []).reduce((sum, { own }) => sum + own[node], 0), of.own[node]);
  }
});

test("large trees are quick, and grow as they must", () => {
  const functions = Array.from({ length: 5000 }, (_, at) => ({ ...shop.functions[0], name: `f${at}` })), many = 200_000;
  const depth = Int32Array.from({ length: many }, (_, node) => node % 40), func = Int32Array.from({ length: many }, (_, node) => node % 40 < 4 ? node % 40 : (node * 7919) % 5000);
  const own = Float64Array.from(depth, depth => depth === 39 ? 1 : 0), of = { functions, func, depth, total: own, own, all: many / 40, seen: 0 };
  const began = performance.now(), merged = hide(of, func => func === 17), took = performance.now() - began;
  assert.equal(merged.all, many / 40);
  assert.equal(inverted(merged).all, many / 40);
  assert.ok(took < 2000, `${took} ms`);
});

test("the trunk is what holds all of the time", () => {
  assert.equal(trunk(shop), 1);
  const deep = tree({ "a;b;c;x": 1, "a;b;c;y": 2 });
  assert.equal(trunk(deep), 3);
  assert.equal(trunk(tree({ "a": 3 })), 0);
  assert.equal(trunk(tree({ "a;b": 3, "c": 1 })), 0);
  assert.equal(trunk(tree({})), 0);
});

test("frames are found again by what they are called, in other trees too", () => {
  const frame = frameOf(shop, 4), other = tree({ "main;idle": 900, "main;serve;view;rules;match": 1, "rules;match": 5 });
  assert.match(frame, /^[0-9a-z]+-[0-9a-z]+$/);
  assert.equal(nodeOf(shop, frame), 4);
  const found = nodeOf(other, frame);
  assert.deepEqual([other.functions[other.func[found]].name, other.depth[found]], ["match", 4]);
  assert.equal(nodeOf(tree({ "rules;match": 5 }), frame), -1);
  assert.deepEqual(["", "x", "1-2", "--", "0x1"].map(text => nodeOf(shop, text)), [-1, -1, -1, -1, -1]);
  assert.equal(frameOf(shop, -1), "");
  assert.equal(new Set(Array.from(shop.depth, (_, node) => frameOf(shop, node))).size, shop.depth.length);
});
