// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

test("points in time lose no microsecond", async () => {
  // What reads the page's own address is not here.
  Object.assign(globalThis, { location: { hash: "" } });
  const { seconds } = await import("../../server/web/data/api.js");
  assert.deepEqual(["1790000000123456", "1000000", "7", "0"].map(seconds), ["1790000000.123456", "1.000000", "0.000007", "0.000000"]);
});
