// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { closed, ends, hotPath, opened, pathOf, rows } from "../../server/web/data/outline.js";
import { end, layout } from "../../server/web/data/tree.js";
import { tree } from "./stacks.js";

const shop = tree({ "main;serve;view;rules": 40, "main;serve;view": 5, "main;serve;log;match": 10, "main;idle": 20, "main": 30 });
const all = ends(shop);

/** @param {import("../../server/web/data/outline.js").Open} open @param {"total" | "own"} [by] */
const lines = (open, by = "total") => rows(shop, all, open, by).map(({ node, depth, isOpen, hasMore, size, place }) =>
  `${"  ".repeat(depth)}${hasMore ? isOpen ? "-" : "+" : " "} ${shop.functions[shop.func[node]].name} ${place}/${size}`);

test("ends are those of the slow way", () => {
  assert.deepEqual([...all], Array.from(shop.depth, (_, node) => end(shop, node)));
});

test("rows open and close by path", () => {
  const open = new Map();
  assert.deepEqual(lines(open), ["+ main 1/1"]);
  opened(open, ["main", "serve"]);
  assert.deepEqual(lines(open), ["- main 1/1", "  - serve 1/2", "    + view 1/2", "    + log 2/2", "    idle 2/2"]);
  closed(open, ["main", "serve"]);
  assert.deepEqual(lines(open), ["- main 1/1", "  + serve 1/2", "    idle 2/2"]);
  assert.deepEqual(lines(open, "own"), ["- main 1/1", "    idle 1/2", "  + serve 2/2"]);
  closed(open, ["other", "serve"]);
  closed(open, ["main"]);
  assert.deepEqual(lines(open), ["+ main 1/1"]);
});

test("the hot path follows the largest child", () => {
  const node = hotPath(shop, all);
  assert.deepEqual(pathOf(shop, layout(shop).parent, node), ["main", "serve", "view", "rules"]);
  assert.deepEqual(pathOf(shop, layout(shop).parent, hotPath(shop, all, 0.5)), ["main", "serve"]);
  assert.equal(hotPath(tree({}), ends(tree({}))), -1);
});
