// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { callers, collapse, end, focus, hide, hottest, inverted, layout, neighbours } from "../../server/web/tree.js";
import { lines, named, tree } from "./stacks.js";

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
