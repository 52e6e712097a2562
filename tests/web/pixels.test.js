// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Pixels, veiled } from "../../server/web/profile/pixels.js";

// Browsers' own; here only its bytes are needed.
Object.assign(globalThis, { ImageData: class { constructor(/** @type {number} */ width, /** @type {number} */ height) { Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) }); } } });

test("rows of pixels: spans, rules along the bottom, what is outside is left out", () => {
  const pixels = new Pixels(), [red, blue] = [[255, 0, 0], [0, 0, 255]].map(rgb => veiled(rgb, rgb, 0));
  pixels.clear(4, 5, [255, 255, 255]);
  pixels.start();
  pixels.span(1, 3, red, blue);
  pixels.end(-1, 1, 2);
  pixels.start();
  pixels.span(0, 1, blue, blue);
  pixels.end(3, 8, 9);
  const names = new Map([[red, "r"], [blue, "b"], [0xffffffff, "."]]);
  const lines = Array.from({ length: 5 }, (_, y) => Array.from(pixels.words.subarray(4 * y, 4 * y + 4), word => names.get(word)).join(""));
  assert.deepEqual(lines, [".rr.", ".bb.", "....", "b...", "b..."]);
});

test("a veil is mixed in", () => {
  assert.deepEqual([veiled([0, 100, 200], [100, 100, 100], 0.5), veiled([0, 100, 200], [100, 100, 100], 0)].map(word => word.toString(16)), ["ff966432", "ffc86400"]);
});
