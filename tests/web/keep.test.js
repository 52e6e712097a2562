// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { inOrderOf } from "../../server/web/data/keep.js";
import { lines, tree } from "./stacks.js";

test("a newer tree stands in the order of the older one, what is new behind", () => {
  const before = tree({ "main;a;x": 30, "main;a;y": 20, "main;b": 10, "idle": 5 });
  const after = tree({ "idle": 500, "main;a;x": 30, "main;a;y": 200, "main;b": 100, "main;c": 300, "main;d;x": 400 });
  assert.deepEqual(lines(inOrderOf(after, before)), [
    "all 1530", "main 1030", "  a 230", "    x 30 self 30", "    y 200 self 200", "  b 100 self 100", "  d 400", "    x 400 self 400", "  c 300 self 300",
    "idle 500 self 500",
  ]);
  assert.equal(inOrderOf(after, after), after);
  assert.deepEqual(lines(inOrderOf(tree({}), before)), ["all 0"]);
});
