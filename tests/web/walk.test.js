// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { sceneOf } from "../../server/web/data/scene.js";
import { nextHit, siblings, widestChild, wider, words } from "../../server/web/data/walk.js";
import { named, tree } from "./stacks.js";

const shop = tree({ "main;serve;view;rules": 40, "main;serve;view;rules;match": 25, "main;serve;view": 5, "main;serve;log;match": 10, "main;idle": 20 });
const scene = sceneOf(shop, false);
const nameOf = (/** @type {number} */ node) => node < 0 ? "" : shop.functions[shop.func[node]].name;
const find = (/** @type {string} */ name) => Array.from(shop.func).findIndex(named(shop, name));

test("moves among frames", () => {
  assert.deepEqual(siblings(scene, find("view")).map(nameOf), ["view", "log"]);
  assert.deepEqual(siblings(scene, find("main")).map(nameOf), ["main"]);
  assert.deepEqual(siblings(scene, -1), []);
  assert.deepEqual(["main", "serve", "match"].map(name => nameOf(widestChild(shop, find(name)))), ["serve", "view", ""]);
  assert.deepEqual(["match", "rules", "main"].map(name => nameOf(wider(scene, find(name)))), ["rules", "view", ""]);
});

test("a search is gone through by rows, and begins anew", () => {
  const hits = Uint8Array.from(shop.functions, ({ name }) => name === "match" || name === "view" ? 1 : 0);
  /** @type {number[]} */ const way = [];
  for (let step = 0, node = -1; step < 4; step++) way.push(node = nextHit(scene, hits, node, 1));
  assert.deepEqual(way.map(node => `${nameOf(node)} ${shop.depth[node]}`), ["view 2", "match 3", "match 4", "view 2"]);
  assert.equal(nextHit(scene, hits, way[0], -1), way[2]);
  assert.equal(nextHit(scene, hits, -1, -1), way[2]);
  assert.equal(nextHit(scene, new Uint8Array(hits.length), -1, 1), -1);
});

test("a frame in words", () => {
  const of = { ...shop, functions: shop.functions.map(func => ({ ...func, name: func.name + "\u202e\n", file: "rules.py", line: 61 })) };
  assert.equal(words(of, find("rules"), 1, 2), "rules\ufffd\ufffd, rules.py 61, self 40.0 percent, total 65.0 percent, depth 3, 1 of 2");
  assert.equal(words(shop, find("idle"), 2, 2), "idle, no file, self 20.0 percent, total 20.0 percent, depth 1, 2 of 2");
});
