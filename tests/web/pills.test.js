// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { applied, packageOf, read, written } from "../../server/web/data/pills.js";
import { lines, tree } from "./stacks.js";

const shop = tree({ "main;serve;view;view;rules": 40, "main;serve;log": 10, "main;idle": 20 });

test("pills are applied in order", () => {
  const after = applied(shop, [{ kind: "focus", name: "serve" }, { kind: "rec", name: "view" }, { kind: "hide:fn", name: "rules" }]);
  assert.deepEqual(lines(after), ["all 50", "serve 50", "  view 40 self 40", "  log 10 self 10"]);
  assert.deepEqual(lines(applied(shop, [])), lines(shop));
});

test("functions of one name in two places are two", () => {
  const two = { ...shop, functions: shop.functions.map(func => func.name === "log" || func.name === "idle" ? { ...func, name: "run", module: func.name }
    : func) };
  assert.deepEqual(lines(applied(two, [{ kind: "focus", name: "run in log" }])), ["all 10", "run 10 self 10"]);
});

test("packages are libraries, else the first part of the module", () => {
  const func = { name: "f", module: "shop.rules", package: null, file: null, path: null, line: null, inApp: true };
  assert.deepEqual([packageOf(func), packageOf({ ...func, package: "libc.so.6" }), packageOf({ ...func, module: null })], ["shop", "libc.so.6", null]);
});

test("a pill comes back as it was written", () => {
  const pill = { kind: /** @type {const} */ ("hide:fn"), name: "a:b c" };
  assert.deepEqual(read(written(pill)), pill);
  assert.deepEqual(["hide", "hide:", "hide:fn:", ":x", "trunk:1", "constructor:x"].map(read), [null, null, null, null, null, null]);
});
