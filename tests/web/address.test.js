// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST, read, write } from "../../server/web/profile/address.js";

test("an address comes back as it was written", () => {
  /** @type {import("../../server/web/profile/address.js").Shown} */
  const shown = {
    ...FIRST, project: "7", env: ["", "staging"], instance: ["0123abcd"], tid: ["größe & 猫", "7"], w0: "1790000000000000", w1: "1790000060000000", clock: "cpu",
    view: "sandwich", q: "a+b #%", rx: true,
    f: "std::vec<T>::push", fx: [{ kind: "hide:fn", name: "a:b" }, { kind: "rec", name: "évaluer" }, { kind: "hide:pkg", name: "sentry_sdk" },
      { kind: "trunk", name: "0" }],
  };
  assert.deepEqual(read(write(shown)), shown);
  assert.equal(write(FIRST), "");
  assert.deepEqual(read(""), FIRST);
});

test("what an address says amiss is left out", () => {
  const shown = read("?view=nothing&fx=drop:x&fx=hide&fx=hide:&fx=hide:fn:&fx=trunk:1&fx=toString:x&w0=9&w1=3&clock=asleep&rx=yes&unknown=1");
  assert.deepEqual(shown, FIRST);
});

test("a window needs both ends", () => {
  assert.deepEqual(read("?w1=5"), FIRST);
  assert.deepEqual(read("?w0=5"), FIRST);
});
