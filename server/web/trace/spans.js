// @ts-check
// The spans of a trace as a tree, however broken they come: from several projects, with parents that are missing or go round in
// circles, ids that occur twice, clocks that differ. And the times of a span that no child of it explains.

import { duration } from "../data/format.js";

/** A time without a child span counts as a gap from this part of its span on, if it lasts as long as GAP_LEAST_US, ... */
const GAP_PART = 0.1;
/** ... or from this length on, microseconds. */
const GAP_US = 50e3;
/** Shorter gaps than a sample is apart from the next cannot be explained by a profile, microseconds. */
const GAP_LEAST_US = 5e3;
/** So many gaps of one span are told, the longest. */
const GAPS_MAX = 8;
/** What is off by less is rounding, microseconds. */
const CLOCK_US = 1e3;
/** The axis leaves out what is farther from the main span than so many times its length, or than a minute. */
const FAR = 20;
const FAR_LEAST_US = 60e6;

/** A transaction as the API has it, and whether it has a profile. @typedef {{transaction: any, has_profile: boolean}} Segment */
/** `begin` and `end` are microseconds since 1970, `end` never before `begin`. `parent` and `children` are places in the list; `cover` is how
 *  much of it they cover.
 *  @typedef {{key: string, project: string, op: string, name: string, status: ?string, begin: number, end: number, parent: number, children: number[], depth: number, cover: number,
 *  segment: ?Segment, isSegment: boolean, profiler: ?string, thread: ?string, notes: string[]}} Span */
/** `roots` are places in `spans`. @typedef {{spans: Span[], roots: number[], begin: number, end: number, main: number}} Trace */
/** @typedef {{project: string, spans: any[], transactions: Segment[]}} Answer */
/** @typedef {{begin: number, end: number}} Interval */

/** @param {Answer[]} answers of the projects that know the trace @returns {Trace} */
export function trace(answers) {
  /** @type {Span[]} */ const spans = [];
  /** The first span of each id. @type {Map<string, number>} */ const byId = new Map();
  /** @type {{parent: ?string, segment: ?string}[]} */ const links = [];
  const seen = new Set();
  for (const { project, spans: rows, transactions } of answers) {
    const segments = new Map(transactions.map(segment => [String(segment.transaction.span_id), segment]));
    for (const row of rows) {
      const same = JSON.stringify([row.span_id, row.parent_id, row.op, row.description, row.start_us, row.end_us]);
      if (seen.has(same)) continue;
      seen.add(same);
      const id = String(row.span_id), span = spanOf(row, project, segments.get(String(row.segment_id ?? row.span_id)) ?? null);
      if (byId.has(id)) {
        span.key = `${id}~${spans.length}`;
        span.notes.push("Another span has the same id: children are shown below that one.");
      } else byId.set(id, spans.length);
      links.push({ parent: text(row.parent_id), segment: text(row.segment_id) });
      spans.push(span);
    }
  }
  spans.forEach((span, at) => {
    const { parent, segment } = links[at];
    if (parent === null) return;
    const above = byId.get(parent), root = segment === null ? undefined : byId.get(segment);
    if (above === undefined) span.notes.push("Its parent was not received.");
    span.parent = above ?? (root !== at ? root : undefined) ?? -1;
  });
  uncircle(spans);
  return laidOut(spans);
}

/** A span that is not linked yet. @param {any} row as the API has it @param {string} project @param {?Segment} segment the transaction that it is of @returns {Span} */
function spanOf(row, project, segment) {
  const { profiler_id, profile_id, thread_id } = segment?.transaction ?? {}, begin = row.start_us;
  return {
    key: String(row.span_id), project, op: row.op ?? "", name: row.description ?? "", status: row.status, begin, end: Math.max(begin, row.end_us),
    parent: -1, children: [], depth: 0, cover: 0, segment, isSegment: segment !== null && row.segment_id === row.span_id,
    profiler: row.profiler_id ?? profiler_id ?? profile_id ?? null, thread: row.thread_id ?? thread_id ?? null,
    notes: row.end_us < begin ? [`It ends ${duration(begin - row.end_us)} before it begins: only its beginning is shown.`] : [],
  };
}

/** @param {unknown} id */
function text(id) {
  return id === null || id === undefined ? null : String(id);
}

/** Parents that go round in a circle are cut where it begins first. @param {Span[]} spans */
function uncircle(spans) {
  /** In whose walk up each was met: 0 in none. */ const walk = new Int32Array(spans.length);
  for (let from = 0; from < spans.length; from++) {
    let at = from;
    while (at >= 0 && walk[at] === 0) { walk[at] = from + 1; at = spans[at].parent; }
    if (at < 0 || walk[at] !== from + 1) continue;
    let first = at;
    for (let other = spans[at].parent; other !== at; other = spans[other].parent) if (spans[other].begin < spans[first].begin) first = other;
    spans[first].parent = -1;
    spans[first].notes.push("Its parents go round in a circle: it is shown as a beginning.");
  }
}

/** @param {Span[]} spans without circles @returns {Trace} */
function laidOut(spans) {
  /** @type {number[]} */ const roots = [];
  spans.forEach(({ parent }, at) => (parent < 0 ? roots : spans[parent].children).push(at));
  const inTime = (/** @type {number} */ a, /** @type {number} */ b) => spans[a].begin - spans[b].begin || spans[b].end - spans[a].end || a - b;
  roots.sort(inTime);
  /** @type {number[]} */ const order = [...roots];
  for (let next = 0; next < order.length; next++) {
    const span = spans[order[next]];
    span.children.sort(inTime);
    for (const child of span.children) { spans[child].depth = span.depth + 1; order.push(child); }
  }
  for (const span of spans) span.cover = covered(span.children.map(child => spans[child]), span.begin, span.end);
  const many = new Int32Array(spans.length).fill(1);
  for (let at = order.length - 1; at >= 0; at--) if (spans[order[at]].parent >= 0) many[spans[order[at]].parent] += many[order[at]];
  const main = roots.reduce((best, root) => best < 0 || many[root] > many[best] || many[root] === many[best] && lasts(spans[root]) > lasts(spans[best]) ? root : best, -1);
  if (main < 0) return { spans, roots, begin: 0, end: 1, main };
  const { begin, end } = axis(spans, spans[main]);
  for (const span of spans) clocks(span, spans[span.parent], begin, end);
  roots.sort((a, b) => Number(b === main) - Number(a === main) || inTime(a, b));
  return { spans, roots, begin, end, main };
}

/** @param {Interval} of */
function lasts({ begin, end }) {
  return end - begin;
}

/** From the first to the last, but for what is so far away that the rest could not be seen. @param {Span[]} spans @param {Span} main @returns {Interval} */
function axis(spans, main) {
  const far = Math.max(FAR_LEAST_US, FAR * lasts(main));
  let { begin, end } = main;
  for (const span of spans) {
    if (span.begin < main.begin - far || span.end > main.end + far) continue;
    begin = Math.min(begin, span.begin);
    end = Math.max(end, span.end);
  }
  return { begin, end: Math.max(end, begin + 1) };
}

/** What the clocks have done to it. @param {Span} span @param {Span | undefined} parent @param {number} begin @param {number} end of the axis */
function clocks(span, parent, begin, end) {
  if (span.end < begin) span.notes.push(`It is ${duration(begin - span.end)} before all that is on the axis.`);
  else if (span.begin > end) span.notes.push(`It is ${duration(span.begin - end)} after all that is on the axis.`);
  else if (span.begin < begin || span.end > end) span.notes.push("It is longer than the axis: its bar is clipped.");
  else if (parent && span.begin < parent.begin - CLOCK_US) span.notes.push(`It begins ${duration(parent.begin - span.begin)} before its parent: their clocks differ.`);
}

/** How much of a span of time the intervals cover, overlapping ones once. @param {Interval[]} intervals @param {number} begin @param {number} end */
export function covered(intervals, begin, end) {
  return end - begin - uncovered(intervals, begin, end).reduce((sum, gap) => sum + lasts(gap), 0);
}

/** What they leave of it, in order of time. @param {Interval[]} intervals @param {number} begin @param {number} end @returns {Interval[]} */
export function uncovered(intervals, begin, end) {
  const gaps = [];
  let at = begin;
  for (const of of [...intervals].sort((a, b) => a.begin - b.begin)) {
    if (of.begin >= end) break;
    if (of.begin > at) gaps.push({ begin: at, end: of.begin });
    at = Math.max(at, of.end);
  }
  if (at < end) gaps.push({ begin: at, end });
  return gaps;
}

/** The gaps of a span that has children: worth a row of their own. @param {Trace} trace @param {number} at @returns {Interval[]} */
export function gaps({ spans }, at) {
  const { begin, end, children } = spans[at];
  if (children.length === 0) return [];
  const isOne = (/** @type {Interval} */ gap) => lasts(gap) >= GAP_US || lasts(gap) >= GAP_LEAST_US && lasts(gap) >= GAP_PART * (end - begin);
  const all = uncovered(children.map(child => spans[child]), begin, end).filter(isOne);
  return all.sort((a, b) => lasts(b) - lasts(a)).slice(0, GAPS_MAX).sort((a, b) => a.begin - b.begin);
}

/** A line of the waterfall: a span, or a gap in the span at `at`. `level` counts from 1; `place` of `size` siblings.
 *  @typedef {{key: string, kind: "span" | "gap", at: number, begin: number, end: number, level: number, size: number, place: number, open: ?boolean}} Row */

/** The rows from top to bottom, without what is below closed ones. @param {Trace} trace @param {Set<string>} closed @returns {Row[]} */
export function rows(trace, closed) {
  const { spans, roots } = trace;
  /** @type {Row[]} */ const rows = [];
  const rowsOf = (/** @type {number[]} */ children, /** @type {Row[]} */ gaps, /** @type {number} */ level) => {
    const own = children.map(at => {
      const { key, begin, end, children } = spans[at];
      return /** @type {Row} */ ({ key, kind: "span", at, begin, end, level, size: 0, place: 0, open: children.length > 0 ? !closed.has(key) : null });
    });
    const all = gaps.length > 0 ? [...own, ...gaps].sort((a, b) => a.begin - b.begin || a.end - b.end) : own;
    all.forEach((row, place) => { row.size = all.length; row.place = place + 1; });
    return all.reverse();
  };
  const waiting = rowsOf(roots, [], 1);
  for (let row = waiting.pop(); row; row = waiting.pop()) {
    rows.push(row);
    if (row.kind === "gap" || !row.open) continue;
    const { at, level } = row, { key, begin, children } = spans[at];
    const inside = gaps(trace, at).map(gap => /** @type {Row} */ ({ key: `gap:${key}:${gap.begin - begin}`, kind: "gap", at, ...gap, level: level + 1, size: 0, place: 0, open: null }));
    for (const child of rowsOf(children, inside, level + 1)) waiting.push(child);
  }
  return rows;
}

/** Where a row's profile is; `null`: it has none. @param {Trace} trace @param {Row} row @returns {?import("./slice.js").Slice} */
export function sliceOfRow({ spans }, { at, begin, end }) {
  const { profiler, thread, segment, project } = spans[at];
  return profiler && segment?.has_profile !== false ? { project, profiler, thread: thread ?? "", begin, end } : null;
}

/** What colour an operation has, as the stylesheet's series: `http.client` as `http`. @param {string} op */
export function group(op) {
  const small = op.toLowerCase(), [first] = small.split(/[.:_ ]/);
  return Object.hasOwn(GROUPS, first) ? GROUPS[first] : (/render|template|serial/.test(small) ? "d7" : "d5");
}

/** @type {Record<string, string>} */
const GROUPS = {
  http: "d1", websocket: "d1", graphql: "d1", db: "d3", sql: "d3", query: "d3", cache: "d6", redis: "d6", memcached: "d6", queue: "d4", celery: "d4", task: "d4", rpc: "d4", grpc: "d4",
  ui: "d7", resource: "d7", file: "d2", io: "d2", subprocess: "d2", ai: "d2", gen_ai: "d2",
};
