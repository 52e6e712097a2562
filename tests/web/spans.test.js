// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { covered, gaps, group, rows, sliceOfRow, trace, uncovered } from "../../server/web/trace/spans.js";
import { dice } from "./stacks.js";

/** @param {number} span_id @param {?number} parent_id @param {number} start_us @param {number} end_us @param {object} [more] */
const span = (span_id, parent_id, start_us, end_us, more = {}) =>
  ({ trace_id: "t", span_id, parent_id, segment_id: 1, op: "db", description: `span ${span_id}`, status: null, start_us, end_us, profiler_id: null, thread_id: null, ...more });
/** @param {any} root @param {boolean} [has_profile] */
const transaction = (root, has_profile = true) => ({ transaction: { span_id: root.span_id, name: "GET /", profiler_id: "p", profile_id: null, thread_id: "7", start_us: root.start_us, end_us: root.end_us }, has_profile });
/** @param {any[]} spans @param {any[]} [transactions] */
const made = (spans, transactions = []) => trace([{ project: "1", spans, transactions }]);
/** The rows as text: depth by dashes. @param {ReturnType<typeof made>} of @param {string[]} [closed] */
const drawn = (of, closed = []) => rows(of, new Set(closed)).map(row => "-".repeat(row.level) + (row.kind === "gap" ? `gap ${row.end - row.begin}` : row.key));

test("spans stand below their parents in order of time, gaps among them", () => {
  const root = span(1, null, 0, 1e6), of = made([span(3, 1, 700e3, 900e3), root, span(4, 3, 700e3, 899e3), span(2, 1, 0, 300e3)], [transaction(root)]);
  assert.deepEqual(drawn(of), ["-1", "--2", "--gap 400000", "--3", "---4", "--gap 100000"]);
  assert.deepEqual(drawn(of, ["3"]), ["-1", "--2", "--gap 400000", "--3", "--gap 100000"]);
  assert.deepEqual(drawn(of, ["1"]), ["-1"]);
  const [first, second, gap] = rows(of, new Set());
  assert.deepEqual([first.open, second.open, second.place, second.size, gap.key], [true, null, 1, 4, "gap:1:300000"]);
  assert.deepEqual(sliceOfRow(of, gap), { project: "1", profiler: "p", thread: "7", begin: 300e3, end: 700e3 });
});

test("without a profile there is no slice", () => {
  const root = span(1, null, 0, 10), of = made([root, span(2, 1, 0, 5, { profiler_id: "q" })], [transaction(root, false)]);
  assert.deepEqual(rows(of, new Set()).map(row => sliceOfRow(of, row)), [null, null]);
  assert.notEqual(sliceOfRow(made([span(2, null, 0, 5, { profiler_id: "q" })]), rows(made([span(2, null, 0, 5)]), new Set())[0]), null, "nothing says that there is none");
});

test("an orphan stands below its transaction, or as a beginning", () => {
  const root = span(1, null, 0, 100), of = made([root, span(2, 99, 10, 20), span(3, 98, 30, 40, { segment_id: 97 })]);
  assert.deepEqual(drawn(of), ["-1", "--2", "-3"]);
  assert.match(of.spans[1].notes[0], /parent was not received/);
});

test("parents that go round in a circle are cut where it begins first", () => {
  const of = made([span(1, 3, 20, 90), span(2, 1, 10, 80), span(3, 2, 30, 70), span(4, 4, 50, 60), span(5, 4, 51, 52)]);
  assert.deepEqual(drawn(of), ["-2", "--3", "---1", "-4", "--5"]);
  assert.deepEqual(of.spans.map(({ notes }) => notes.length > 0), [false, true, false, true, false]);
});

test("the same span twice is one; another one of the same id is a row of its own", () => {
  const root = span(1, null, 0, 100), of = made([root, { ...root }, span(2, 1, 0, 10), span(2, 1, 20, 30), span(3, 2, 1, 2)]);
  assert.deepEqual(drawn(of), ["-1", "--2", "---3", "--2~2"]);
});

test("spans of several projects are one tree", () => {
  const root = span(1, null, 0, 100), other = span(2, 1, 10, 50, { segment_id: 2 });
  const of = trace([{ project: "1", spans: [root], transactions: [transaction(root)] }, { project: "2", spans: [other], transactions: [transaction(other)] }]);
  assert.deepEqual(drawn(of), ["-1", "--2"]);
  assert.deepEqual(of.spans.map(({ project, isSegment }) => [project, isSegment]), [["1", true], ["2", true]]);
});

test("what is a day away does not squeeze the axis", () => {
  const of = made([span(1, null, 1e12, 1e12 + 1e6), span(2, 1, 1e12 + 86400e6, 1e12 + 86400e6 + 5), span(3, 1, 5, 1e12 + 10), span(4, 1, 1e12 - 20e3, 1e12 + 5)]);
  assert.deepEqual([of.begin, of.end], [1e12 - 20e3, 1e12 + 1e6]);
  assert.match(of.spans[1].notes[0], /after all that is on the axis/);
  assert.match(of.spans[2].notes[0], /clipped/);
  assert.match(of.spans[3].notes[0], /before its parent/);
});

test("a span that ends before it begins lasts no time", () => {
  const of = made([span(1, null, 0, 100), span(2, 1, 50, 20)]);
  assert.deepEqual([of.spans[1].begin, of.spans[1].end], [50, 50]);
});

test("nothing is nothing", () => {
  const of = made([]);
  assert.deepEqual([of.spans.length, rows(of, new Set()).length, of.end > of.begin], [0, 0, true]);
});

test("what intervals cover is what marking each moment finds", () => {
  const next = dice(11);
  for (let turn = 0; turn < 500; turn++) {
    const size = 60, marks = new Uint8Array(size), begin = Math.floor(next() * 20), end = begin + Math.floor(next() * 30);
    const intervals = Array.from({ length: Math.floor(next() * 8) }, () => { const begin = Math.floor(next() * size), end = Math.min(size, begin + Math.floor(next() * 15)); marks.fill(1, begin, end); return { begin, end }; });
    const naive = marks.slice(begin, end).reduce((sum, mark) => sum + mark, 0), free = uncovered(intervals, begin, end);
    assert.equal(covered(intervals, begin, end), naive);
    for (const gap of free) assert.ok(gap.begin < gap.end && marks.slice(gap.begin, gap.end).every(mark => mark === 0), JSON.stringify({ intervals, gap }));
    assert.equal(free.reduce((sum, gap) => sum + gap.end - gap.begin, 0), end - begin - naive);
  }
});

test("gaps are a tenth of their span, or 50 ms, and never too short for samples", () => {
  const of = made([span(1, null, 0, 10e6), span(2, 1, 0, 5e6), span(3, 1, 5.06e6, 10e6), span(4, 2, 0, 1000), span(5, 3, 5.06e6, 9.99e6)]);
  assert.deepEqual(gaps(of, 0), [{ begin: 5e6, end: 5.06e6 }]);
  assert.equal(gaps(made([span(1, null, 0, 1000), span(2, 1, 0, 100)]), 0).length, 0);
  assert.deepEqual(gaps(of, 4), [], "a span without children is no gap");
});

test("whatever comes, every span has one row, below its parent", () => {
  const next = dice(12);
  for (let turn = 0; turn < 300; turn++) {
    const many = 1 + Math.floor(next() * 40), id = () => 1 + Math.floor(next() * many * 1.3);
    const spans = Array.from({ length: many }, () => span(id(), next() < 0.1 ? null : id(), Math.floor(next() * 1e6), Math.floor(next() * 1e6), { segment_id: next() < 0.3 ? id() : null, description: String(next()) }));
    const of = made(spans), lines = rows(of, new Set()).filter(({ kind }) => kind === "span");
    assert.equal(lines.length, many);
    assert.equal(new Set(lines.map(({ key }) => key)).size, many);
    const levels = new Map(lines.map(({ at, level }) => [at, level]));
    for (const { at, level } of lines) assert.equal(level, of.spans[at].parent < 0 ? 1 : Number(levels.get(of.spans[at].parent)) + 1);
    for (const row of rows(of, new Set())) assert.ok(row.place >= 1 && row.place <= row.size && row.begin <= row.end);
  }
});

test("a chain of ten thousand spans is laid out at once", () => {
  const started = performance.now(), of = made(Array.from({ length: 10000 }, (_, at) => span(at + 1, at || null, at, 20000 - at)));
  assert.equal(rows(of, new Set()).length, 10000);
  assert.ok(performance.now() - started < 2000);
});

test("operations have the colours of their kinds", () => {
  assert.deepEqual(["http.client", "db.sql.query", "HTTP", "cache.get", "queue.publish", "view.response.render", "view", "", "constructor"].map(group), ["d1", "d3", "d1", "d6", "d4", "d7", "d5", "d5", "d5"]);
});
