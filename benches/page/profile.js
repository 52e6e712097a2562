// @ts-check
// A made-up profile of so many nodes: the same for the same number, as the query API answers it and as speedscope reads it.

const FUNCTIONS_A_NODE = 1 / 20;
const DEPTH_MAX = 60;
/** Every label begins so: that is how a bench sees that something is drawn. */
export const NAME = "fn_";

/** Numbers from 0 until before 1. @param {number} seed */
function dice(seed) {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Nodes depth first, siblings largest first, as the API has them. @param {number} many */
export function profile(many) {
  const next = dice(many), functions = Math.round(many * FUNCTIONS_A_NODE);
  /** @type {number[][]} */ const children = [[]];
  /** @type {number[]} */ const func = [-1], depth = [-1];
  /** @type {Set<number>} */ const taken = new Set();
  // Each node is put below one that was put lately or, now and then, anywhere: deep stacks with wide places.
  while (func.length <= many) {
    const size = func.length, parent = next() < 0.7 ? Math.max(0, size - 1 - Math.floor(next() ** 3 * Math.min(size, 400))) : Math.floor(next() ** 2 * size);
    const of = Math.floor(next() ** 2 * functions), key = parent * functions + of;
    if (depth[parent] + 1 >= DEPTH_MAX || taken.has(key)) continue;
    taken.add(key);
    children[parent].push(size);
    children.push([]);
    func.push(of);
    depth.push(depth[parent] + 1);
  }
  const own = func.map((_, node) => node > 0 && (children[node].length === 0 || next() < 0.2) ? Math.ceil(10_000 * (1 + next() ** 12 * 200)) : 0), total = [...own];
  const order = [0];
  for (let node = many; node > 0; node--) { /* children come behind their parents */ total[parentOf(children, node)] += total[node]; }
  /** @type {{function: number[], depth: number[], total_us: number[], own_us: number[], samples: number[], own_samples: number[]}} */
  const nodes = { function: [], depth: [], total_us: [], own_us: [], samples: [], own_samples: [] };
  for (let node = order.pop(); node !== undefined; node = order.pop()) {
    if (node > 0) {
      nodes.function.push(func[node]);
      nodes.depth.push(depth[node]);
      nodes.total_us.push(total[node]);
      nodes.own_us.push(own[node]);
      nodes.samples.push(Math.round(total[node] / 10_000));
      nodes.own_samples.push(Math.round(own[node] / 10_000));
    }
    order.push(...children[node].sort((a, b) => total[a] - total[b] || func[b] - func[a]));
  }
  return { functions: Array.from({ length: functions }, (_, at) => row(at)), nodes, total_us: total[0] };
}

/** @type {WeakMap<number[][], Int32Array>} */
const parents = new WeakMap();

/** @param {number[][]} children @param {number} node */
function parentOf(children, node) {
  let known = parents.get(children);
  if (!known) {
    known = new Int32Array(children.length);
    for (let parent = 0; parent < children.length; parent++) for (const child of children[parent]) known[child] = parent;
    parents.set(children, known);
  }
  return known[node];
}

/** A function as the API has it: a fifth of the application's, the rest of Python's libraries, its standard library, and native. @param {number} at */
function row(at) {
  const name = `${NAME}${at.toString(36)}_${["handle", "encode", "get_or_create", "apply_rules", "read"][at % 5]}`, file = `part${at % 97}.py`;
  switch (at % 5) {
    case 0: return [name, `shop.part${at % 97}`, null, `shop/${file}`, `/srv/shop/${file}`, at % 900, true];
    case 1: return [name, `django.part${at % 97}`, null, `django/${file}`, `/srv/venv/lib/python3.13/site-packages/django/${file}`, at % 900, false];
    case 2: return [name, `lib${at % 97}`, null, file, `/usr/lib/python3.13/${file}`, at % 900, false];
    case 3: return [name, `libx${at % 9}.so`, `/usr/lib/libx${at % 9}.so`, null, null, null, false];
    default: return [name, `flask.part${at % 97}`, null, `flask/${file}`, `/srv/venv/lib/python3.13/site-packages/flask/${file}`, at % 900, false];
  }
}

/** What `/tree?split=states` answers. @param {ReturnType<typeof profile>} of */
export function answer({ functions, nodes, total_us }) {
  const node = nodes.own_us.flatMap((us, at) => us > 0 ? [at] : []), us = node.map(at => nodes.own_us[at]), isAsleep = (/** @type {number} */ at) => at % 7 === 0;
  const split = (/** @type {boolean} */ asleep) => ({ node: node.filter(at => isAsleep(at) === asleep), us: us.filter((_, place) => isAsleep(node[place]) === asleep) });
  return {
    from_us: FROM_US, to_us: TO_US, functions, nodes: { ...nodes, states: { on_cpu: split(false), sleeping: split(true) } }, total_us,
    samples: Math.round(total_us / 10_000), idle_us: 0, covers: { profiles: 60, samples: 0, live: 0, damaged: [] },
  };
}

export const FROM_US = 1_790_000_000e6, TO_US = FROM_US + 3600e6;

/** The same as speedscope reads it: frames are opened and closed in the order of the tree. @param {ReturnType<typeof profile>} of */
export function speedscope({ functions, nodes, total_us }) {
  /** @type {{type: "O" | "C", frame: number, at: number}[]} */ const events = [];
  /** @type {{frame: number, end: number}[]} */ const open = [];
  let at = 0;
  nodes.depth.forEach((depth, node) => {
    while (open.length > depth) { const { frame, end } = /** @type {{frame: number, end: number}} */ (open.pop()); events.push({ type: "C", frame, at: end }); at = end; }
    events.push({ type: "O", frame: nodes.function[node], at });
    open.push({ frame: nodes.function[node], end: at + nodes.total_us[node] });
  });
  while (open.length > 0) { const { frame, end } = /** @type {{frame: number, end: number}} */ (open.pop()); events.push({ type: "C", frame, at: end }); }
  return {
    $schema: "https://www.speedscope.app/file-format-schema.json", shared: { frames: functions.map(([name, , , file, , line]) => ({ name, ...(file ? { file } : {}), ...(line ? { line } : {}) })) },
    profiles: [{ type: "evented", name: "bench", unit: "microseconds", startValue: 0, endValue: total_us, events }],
  };
}
