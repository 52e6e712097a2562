// Reads a file with speedscope's own importer, out of its released bundle, and prints what it understood as JSON:
// the time of each profile without its empty stacks, and of each function in itself. No browser: what the page itself
// needs of one is not there and not used.
//
//   node speedscope.cjs NODE_MODULES FILE
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [modules, file] = process.argv.slice(2);
const release = path.join(modules, "speedscope/dist/release");
const bundle = fs.readdirSync(release).find((name) => /^speedscope-.*\.js$/.test(name));
let code = fs.readFileSync(path.join(release, bundle), "utf8");

// The importer is a module that the page loads when it needs it: `Promise.resolve().then(()=>(load(),exports))`.
const exported = /\$?\w+\((\w+),\{importFromFileSystemDirectoryEntry:/.exec(code)[1];
const loads = new RegExp(`Promise\\.resolve\\(\\)\\.then\\(\\(\\)=>\\((\\w+)\\(\\),${exported}\\)\\)`);
code = code.replace(loads, (_, load) => `(${load}(),globalThis.importer=${exported},Promise.resolve(${exported}))`);

const nothing = new Proxy(function () {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => "" : key === Symbol.iterator ? [][Symbol.iterator] : nothing),
  apply: () => nothing,
  construct: () => nothing,
});
const silent = { log() {}, warn() {}, error() {}, time() {}, timeEnd() {}, assert() {} };
const world = {
  console: silent, TextDecoder, TextEncoder, setTimeout, clearTimeout, performance, URL, Buffer,
  document: nothing, navigator: nothing, localStorage: nothing, matchMedia: nothing, FileReader: nothing,
  requestAnimationFrame: () => 0, addEventListener() {}, location: { hash: "", search: "", protocol: "http:", href: "" },
};
world.window = world.self = world.globalThis = world;
try {
  vm.runInNewContext(code, world);
} catch (error) {
  // The page cannot be drawn here; the importer stands before it.
  if (!world.importer) throw error;
}

world.importer.importProfileGroupFromText(path.basename(file), fs.readFileSync(file, "utf8")).then((group) => {
  const profiles = group.profiles.map((profile) => {
    const own = {};
    profile.forEachFrame((frame) => {
      own[frame.name] = (own[frame.name] || 0) + frame.getSelfWeight();
    });
    return { name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalNonIdleWeight(), own };
  });
  process.stdout.write(JSON.stringify({ name: group.name, profiles }) + "\n");
});
