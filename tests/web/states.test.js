// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { between, mostly, shownState, stateOf, waiting } from "../../server/web/data/states.js";
import { inverted } from "../../server/web/data/tree.js";
import { treeOf } from "./stacks.js";

const names = ["main", "work", "sleep", "lock"];
const of = treeOf([
  { names: ["main", "work"], us: 60, samples: 6, states: { on_cpu: 50, runnable: 10, sleeping: 0 } },
  { names: ["main", "work", "sleep"], us: 30, samples: 3, states: { on_cpu: 1, runnable: 0, sleeping: 29 } },
  { names: ["main", "sleep"], us: 10, samples: 1, states: { on_cpu: 0, runnable: 0, sleeping: 10 } },
], names);

test("classes of the API are five states", () => {
  assert.deepEqual(["on_cpu_with_lock", "runnable", "awaits_lock", "sleeping_with_lock", "unknown", "constructor"].map(stateOf), ["on_cpu", "runnable", "lock", "sleeping", "unknown", "unknown"]);
  assert.equal(shownState("on_cpu").words, "on CPU");
  assert.equal(shownState("never heard").words, "state not known");
});

test("time by state, of all and of a part", () => {
  const words = (/** @type {?{name: string, us: number}[]} */ rows) => rows?.map(({ name, us }) => `${name} ${us}`).join(", ");
  assert.equal(words(between(of, 0, of.depth.length)), "on_cpu 51, sleeping 39, runnable 10");
  assert.equal(words(between(of, 1, 2)), "on_cpu 50, runnable 10");
  assert.equal(words(between(of, 2, 2)), "");
  assert.equal(between({ ...of, states: null }, 0, 4), null);
  assert.equal(between({ ...of, states: [{ name: "unknown", own: of.own }] }, 0, 4), null);
});

test("a frame waits when nearly all of its own time, half of its total, was asleep or without the lock", () => {
  const shown = (/** @type {import("../../server/web/data/tree.js").Tree} */ tree) => Array.from(waiting(tree) ?? [], (waits, node) => waits ? `${names[tree.func[node]]} ${tree.depth[node]}` : "").filter(Boolean);
  assert.deepEqual(shown(of), ["sleep 2", "sleep 1"]);
  assert.deepEqual(shown(inverted(of)), ["sleep 0"]);
  assert.equal(waiting({ ...of, states: null }), null);
  // SDKs do not know: that is no waiting.
  assert.equal(waiting({ ...of, states: [{ name: "unknown", own: of.own }] }), null);
});

test("what a frame did most", () => {
  assert.deepEqual(Array.from(mostly(of) ?? [], state => of.states?.[state].name), ["on_cpu", "on_cpu", "sleeping", "sleeping"]);
});
