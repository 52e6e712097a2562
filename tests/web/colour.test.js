// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { bandOf, coloursOf, coloursOfDifference, contrast, difference, dotOf, HATCH, labelOf, legend, MODES, oklch, RULE } from "../../server/web/data/colour.js";
import { func, tree } from "./stacks.js";

const PAPER = ["#ffffff", "#14161a"];
const THEMES = [false, true];
/** Tokens of the states, as the stylesheet computes them. @param {boolean} isDark */
const token = isDark => (/** @type {string} */ name) => ({ running: ["#4a63c9", "#8fa0f5"], gil: ["#b23a78", "#e083b3"], sleep: ["rgb(139, 146, 158)", "rgb(95, 103, 116)"], d7: ["#a8903a", "#c9b25e"], line2: ["#cdd2da", "#3a404a"] })[name]?.[Number(isDark)] ?? "#808080";

const python = { ...func("f"), module: "shop.rules" };

test("whose code a function is", () => {
  /** @type {[Partial<import("../../server/web/data/tree.js").Func>, string][]} */
  const cases = [
    [{ path: "/srv/app/rules.py", inApp: true }, "app"],
    [{ path: "/srv/venv/lib/python3.11/site-packages/flask/app.py" }, "library"],
    [{ path: "/usr/lib/python3/dist-packages/yaml/__init__.py" }, "library"],
    [{ path: "/root/.pyenv/versions/3.11.7/lib/python3.11/threading.py" }, "runtime"],
    [{ path: "/usr/lib64/python3.13t/json/decoder.py" }, "runtime"],
    [{ file: "<frozen importlib._bootstrap>", path: "/srv/shop/<frozen importlib._bootstrap>", inApp: true }, "runtime"],
    [{ path: "node:internal/modules/cjs/loader" }, "runtime"],
    [{ module: "java.lang.Thread" }, "runtime"],
    [{ module: "org.acme.Main", inApp: true }, "app"],
    [{ module: null, package: "/usr/lib/x86_64-linux-gnu/libc.so.6" }, "native"],
    [{ module: "libc", package: "/opt/lib/python3.11/lib-dynload/_json.so" }, "native"],
    [{ module: "shop", package: "/srv/shop", inApp: true }, "app"],
    [{ package: "[kernel.kallsyms]" }, "kernel"],
    [{ package: "/usr/lib/debug/boot/vmlinux-6.1" }, "kernel"],
    [{ package: "/lib/modules/6.1/kernel/fs/ext4.ko.xz" }, "kernel"],
    [{ name: "0x7f1a4fae6365", module: null }, "native"],
    [{ name: "<task Task-1>", module: null }, "runtime"],
  ];
  for (const [change, band] of cases) assert.equal(bandOf({ ...python, ...change }), band, JSON.stringify(change));
});

test("unnamed functions are called by where they lie", () => {
  const library = "/usr/lib/libsqlite3.so.0";
  assert.deepEqual([["0x1f3a2", library], ["0x1f3a2", null], ["libfoo.so+0x12", library], ["sqlite3Step", library]].map(([name, library]) => labelOf({ ...func(String(name)), package: library })),
    ["0x1f3a2 in libsqlite3.so.0", "0x1f3a2", "libfoo.so+0x12", "sqlite3Step"]);
});

test("a colour is that of its coordinates", () => {
  assert.deepEqual([oklch(1, 0, 0), oklch(0, 0, 0), oklch(0.62796, 0.25768, 29.234), oklch(0.45201, 0.31321, 264.052)], ["#ffffff", "#000000", "#ff0000", "#0000ff"]);
});

const every = tree(Object.fromEntries(Array.from({ length: 4000 }, (_, at) => [`f${at}`, at + 1])));
const kinds = [
  { inApp: true }, { path: "/x/site-packages/a.py" }, { path: "/usr/lib/python3.11/os.py" }, { package: "/lib/libc.so.6" }, { package: "[kernel]" }, { package: "/srv/app", inApp: true },
];
const functions = every.functions.map((one, at) => ({ ...one, module: `m${at % 40}.x`, ...kinds[at % kinds.length] }));
const states = ["on_cpu", "lock", "sleeping", "runnable", "unknown"].map((name, at) => ({ name, own: Array.from(every.own, (us, node) => node % 5 === at ? us : 0) }));
const painted = { ...every, functions, states };

test("text is read on every swatch", () => {
  for (const isDark of THEMES) {
    for (const [mode] of MODES) {
      for (const { fill, ink } of coloursOf(painted, mode, isDark, token(isDark)).swatches) assert.ok(contrast(fill, ink) >= 4.5, `${mode} ${isDark ? "dark" : "light"} ${fill}: ${contrast(fill, ink)}`);
    }
    for (let value = -10; value <= 10; value++) { const { fill, ink } = difference(value, 0.5, 10, isDark); assert.ok(contrast(fill, ink) >= 4.5, `${value} ${fill}`); }
  }
});

test("kinds use their whole palette, and no other", () => {
  for (const isDark of THEMES) {
    const { swatches, of, sign } = coloursOf({ ...painted, states: null }, "kind", isDark, token(isDark));
    assert.equal(swatches.length, 121);
    assert.equal(new Set(of).size, 120);
    assert.equal(new Set(swatches.map(({ ink }) => ink)).size, 1);
    assert.deepEqual(new Set(sign), new Set([0, RULE, RULE | HATCH]));
  }
  const { of, sign, swatches } = coloursOf(painted, "kind", false, token(false));
  const waits = painted.states.filter(({ name }) => name === "lock" || name === "sleeping");
  for (let node = 0; node < of.length; node++) assert.equal(of[node] === swatches.length - 1 && sign?.[node] === HATCH, waits.some(({ own }) => own[node] > 0));
});

test("the same function has the same colour everywhere", () => {
  const one = { ...painted, states: null }, other = { ...tree({ "f7;f2000": 5 }) };
  const moved = { ...other, functions: other.functions.map(({ name }) => functions[Number(name.slice(1))]) };
  const colours = (/** @type {import("../../server/web/data/tree.js").Tree} */ of) => { const { swatches, of: at } = coloursOf(of, "kind", false, token(false)); return Object.fromEntries(Array.from(of.func, (func, node) => [of.functions[func].name, swatches[at[node]].fill])); };
  assert.deepEqual([colours(moved).f7, colours(moved).f2000], [colours(one).f7, colours(one).f2000]);
});

test("the largest packages have hues, the rest is grey", () => {
  const { of, swatches } = coloursOf(painted, "package", false, token(false));
  assert.equal(new Set(of).size, 13);
  assert.equal(swatches[12].fill.slice(1, 3) <= swatches[12].fill.slice(5, 7), true);
});

test("without states nothing is coloured by them", () => {
  assert.equal(coloursOf({ ...painted, states: null }, "state", false, token(false)).swatches.length, 1);
  assert.equal(coloursOf({ ...painted, states: [{ name: "unknown", own: painted.own }] }, "state", true, token(true)).swatches.length, 1);
  assert.equal(coloursOf(painted, "state", true, token(true)).swatches.length, 5);
});

test("changes within their error are grey, others the stronger the larger", () => {
  const { of, swatches } = coloursOfDifference([0.2, -0.2, 0.01, 0.05, 0, -0.1], [0.01, 0.01, 0.02, 0.02, 0, 0.01], false), grey = (swatches.length - 1) / 2;
  assert.deepEqual(Array.from(of, swatch => swatch - grey), [12, -12, 0, 3, 0, -6]);
  assert.deepEqual(coloursOfDifference([0, 0], [0, 0], false).of, Uint8Array.of(grey, grey));
  assert.equal(difference(NaN, 0, 1, false).fill, swatches[grey].fill);
});

test("dots are seen on the paper, all but that of waiting, which stands beside its word", () => {
  for (const isDark of THEMES) {
    for (const { band, dot } of legend(isDark)) {
      assert.equal(dotOf(band, isDark), dot);
      assert.ok(contrast(dot, PAPER[Number(isDark)]) >= (band === "waiting" ? 2.2 : 3), `${band} ${contrast(dot, PAPER[Number(isDark)])}`);
    }
  }
});
