// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { clipped, cover, group, programOf, version } from "../../server/web/data/services.js";

/** @param {Partial<import("../../server/web/data/services.js").Session>} some */
const session = some => ({
  profiler_id: "a", platform: "python", environment: "production", release: "shop@1", sdk: /** @type {[string, string]} */ (["sentry.python", "2"]), host: null, pid: null, executable: null,
  first_us: 0, last_us: 10, profiles: 1, samples: 5, bytes: 7, ...some,
});

test("a program is named by its release, its file or its SDK", () => {
  assert.equal(programOf(session({})), "shop");
  assert.equal(programOf(session({ release: "4.1", executable: "/usr/bin/gunicorn" })), "gunicorn");
  assert.equal(programOf(session({ release: null })), "sentry.python");
  assert.equal(programOf(session({ release: " @1", executable: "/", sdk: [" ", ""] })), "unnamed");
  assert.deepEqual(["a@b@1.2", "1.2", null].map(version), ["1.2", "1.2", ""]);
});

test("instances are those at one time; what is replaced is one", () => {
  const spans = [{ first_us: 0, last_us: 10 }, { first_us: 10, last_us: 20 }, { first_us: 15, last_us: 30 }, { first_us: 50, last_us: 60 }];
  assert.deepEqual(cover(spans), { covered: 40, sum: 45, most: 2 });
  assert.deepEqual(cover(clipped(spans, 18, 55)), { covered: 17, sum: 19, most: 2 });
  assert.deepEqual(cover([]), { covered: 0, sum: 0, most: 0 });
});

test("processes of one program and environment are one service, with the release before", () => {
  const services = group(1, [
    session({}), session({ profiler_id: "b", release: "shop@2", first_us: 20, last_us: 30 }), session({ profiler_id: "c", release: "shop@2", first_us: 25, last_us: 35 }),
    session({ profiler_id: "d", environment: "staging", release: "shop@3" }),
  ]);
  assert.deepEqual(services.map(({ name, environment, release, before, released_us, instances, profiled_us, covered_us, bytes }) => ({ name, environment, release, before, released_us, instances, profiled_us, covered_us, bytes })), [
    { name: "shop", environment: "production", release: "shop@2", before: "shop@1", released_us: 20, instances: 2, profiled_us: 30, covered_us: 25, bytes: 21 },
    { name: "shop", environment: "staging", release: "shop@3", before: null, released_us: 0, instances: 1, profiled_us: 10, covered_us: 10, bytes: 7 },
  ]);
  assert.deepEqual(services[0].place, { project: "1", env: ["production"], release: [], instance: [] });
});

test("a place names releases where these tell services apart, else processes", () => {
  const two = group(1, [session({}), session({ profiler_id: "b", release: "mail@1" })]);
  assert.deepEqual(two.map(({ place }) => place.release), [["shop@1"], ["mail@1"]]);
  const bare = group(1, [session({ release: null }), session({ release: null, profiler_id: "b", executable: "/bin/mail" })]);
  assert.deepEqual(bare.map(({ place }) => place.instance), [["a"], ["b"]]);
});
