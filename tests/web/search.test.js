// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { found, search } from "../../server/web/data/search.js";
import { tree } from "./stacks.js";

const shop = tree({ "main;serve;match;match": 25, "main;serve;match": 5, "main;log;match": 10, "main;idle": 20 });

/** @param {string} text @param {boolean} isPattern */
function names(text, isPattern) {
  const { test, error } = search(text, isPattern);
  return error === null ? shop.functions.filter(test).map(func => func.name) : "error";
}

test("a text is found as it stands, a pattern as it says", () => {
  assert.deepEqual(names("MA", false), ["main", "match"]);
  assert.deepEqual(names("m.*n", false), []);
  assert.deepEqual(names("m.*n$", true), ["main"]);
  assert.deepEqual(names("", true), []);
  assert.equal(names("(", true), "error");
  assert.deepEqual(names("(", false), []);
});

test("module, file and package count, too", () => {
  const func = { name: "f", module: "shop.rules", package: "libshop.so", file: "rules.py", path: "/srv/shop/rules.py", line: null, inApp: true };
  assert.deepEqual(["shop.r", "/srv/", "libshop", "other"].map(text => search(text, false).test(func)), [true, true, true, false]);
});

test("time of what is found counts once", () => {
  const { frames, us, hits } = found(shop, search("match", false).test);
  assert.deepEqual([frames, us, hits.reduce((sum, hit) => sum + hit, 0)], [3, 40, 1]);
});
