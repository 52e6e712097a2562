// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST, read, write } from "../../server/web/address.js";

test("an address comes back as it was written", () => {
  /** @type {import("../../server/web/address.js").Shown} */
  const shown = {
    ...FIRST, project: "7", profiler: "0123abcd", thread: "größe & 猫", w0: "1790000000000000", w1: "1790000060000000", states: "on_cpu", view: "sandwich", q: "a+b #%", rx: true,
    f: "std::vec<T>::push", fx: [{ kind: "hide", name: "a:b" }, { kind: "recursion", name: "évaluer" }, { kind: "hide-package", name: "sentry_sdk" }],
  };
  assert.deepEqual(read(write(shown)), shown);
  assert.equal(write(FIRST), "?");
  assert.deepEqual(read(""), FIRST);
});

test("what an address says amiss is left out", () => {
  const shown = read("?window=-5&view=nothing&fx=drop:x&fx=hide&fx=hide:&fx=toString:x&w0=9&w1=3&states=asleep&rx=yes&unknown=1");
  assert.deepEqual(shown, FIRST);
});
