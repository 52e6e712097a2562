#!/usr/bin/env node
// @ts-check
// How fast the page shows a profile, and how smoothly it moves: against speedscope, the same tree, by turns in one run. See README.md.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { answer, FROM_US, NAME, profile, speedscope, TO_US } from "./profile.js";

const HERE = dirname(fileURLToPath(import.meta.url)), ROOT = resolve(HERE, "../..");
const MODULES = resolve(process.env.SENTRY_PROFILED_NODE_MODULES ?? join(ROOT, "target/npm/node_modules"));
const WEB = join(ROOT, "server/web"), RIVAL = join(MODULES, "speedscope/dist/release");
const [ROUNDS = 5, ...SIZES] = process.argv.slice(2).map(Number);
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** A profile is answered so long after it was asked for: by then the page around it is there, on both sides. Milliseconds. */
const HOLD_MS = 2000;
/** Pictures in each part of the movement. */
const PICTURES = 25;
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** @type {Record<string, string>} */
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml", json: "application/json", wasm: "application/wasm" };

const { chromium } = await import(pathToFileURL(createRequire(join(MODULES, "x.js")).resolve("playwright-core")).href).then(module => module.default ?? module);

/** What the page asks beside the tree: an hour in which nothing else is known. */
const ANSWERS = {
  projects: { projects: [1] }, services: { sessions: [] }, threads: { threads: [] }, status: { version: "bench", projects: [{ id: 1, name: null, dsn: "" }], store: null, received: null, machine: null },
  quality: { profiles: 0 }, cpu: { from_us: FROM_US, to_us: TO_US, bucket_us: 15e6, buckets: Array.from({ length: 240 }, (_, at) => ({ start_us: FROM_US + at * 15e6, on_cpu_us: 9e6, runnable_us: 0, lock_us: 0, sleeping_us: 0, unknown_us: 0 })), threads: [], series: [] },
  "transactions/newest": { transactions: [], count: 0 }, spans: { from_us: FROM_US, to_us: TO_US, spans: [], more: false }, functions: { functions: [], count: 0, total_us: 0 },
};

/** @param {string} tree @param {string} rival */
function serve(tree, rival) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://bench"), api = pathname.match(/^\/api\/v1\/(.*)$/)?.[1];
    const json = (/** @type {string} */ body) => { response.writeHead(200, { "content-type": TYPES.json, "content-length": Buffer.byteLength(body) }); response.end(body); };
    if (api === "tree" || pathname === "/rival/profile.json") { setTimeout(() => json(api ? tree : rival), HOLD_MS); return; }
    if (api !== undefined) return json(JSON.stringify(ANSWERS[/** @type {keyof ANSWERS} */ (api)] ?? {}));
    const file = pathname.startsWith("/rival/") ? join(RIVAL, pathname.slice(7) || "index.html") : join(WEB, pathname === "/profile" ? "index.html" : pathname);
    if (!existsSync(file) || statSync(file).isDirectory()) { response.writeHead(404); response.end(); return; }
    response.writeHead(200, { "content-type": TYPES[file.split(".").pop() ?? ""] ?? "application/octet-stream", ...(file.startsWith(WEB) ? { "content-security-policy": POLICY } : {}) });
    createReadStream(file).pipe(response);
  });
  return /** @type {Promise<import("node:http").Server>} */ (new Promise(resolve => server.listen(0, "127.0.0.1", () => resolve(server))));
}

/** Runs in the page before all else: notes when the picture of the screen is made in which the first frame's name is drawn. @param {string} name */
function watch(name) {
  const bench = /** @type {any} */ (globalThis).bench = { painted: 0 }, draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (/** @type {[string, number, number]} */ ...rest) {
    if (bench.painted === 0 && rest[0].startsWith(name)) {
      bench.painted = -1;
      CanvasRenderingContext2D.prototype.fillText = draw;
      // Messages come when the picture is handed on.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { bench.painted = performance.now(); };
      port2.postMessage(null);
    }
    return draw.apply(this, rest);
  };
}

/** Runs in the page: zooms in, pans there and back, zooms out, a step a picture; the milliseconds between pictures. @param {number} many steps of each @returns {Promise<number[]>} */
async function move(many) {
  const point = { clientX: innerWidth * 0.2, clientY: innerHeight * 0.55 }, target = document.elementFromPoint(point.clientX, point.clientY);
  if (!target) throw new Error("nothing is there");
  /** @type {number[]} */ const gaps = [];
  const at = { ...point, bubbles: true, cancelable: true };
  const parts = [{ ctrlKey: true, deltaY: -6 }, { deltaX: 40 }, { deltaX: -40 }, { deltaY: 12 }, { deltaY: -12 }, { ctrlKey: true, deltaY: 6 }];
  let last = await new Promise(requestAnimationFrame);
  for (const part of parts) {
    for (let step = 0; step < many; step++) {
      target.dispatchEvent(new WheelEvent("wheel", { ...at, ...part }));
      const now = await new Promise(requestAnimationFrame);
      gaps.push(now - last);
      last = now;
    }
  }
  return gaps;
}

/** @param {any} browser @param {string} url @param {string} profile the address of the profile */
async function once(browser, url, profile) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } }), page = await context.newPage(), session = await context.newCDPSession(page);
  await page.addInitScript(watch, NAME);
  // Time on a CPU: others may use the machine, too.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(url);
  await page.waitForTimeout(HOLD_MS * 0.9);
  const metric = async (/** @type {string} */ name) => (await session.send("Performance.getMetrics")).metrics.find((/** @type {{name: string}} */ one) => one.name === name).value;
  const booted = await metric("TaskDuration");
  await page.waitForFunction(() => /** @type {any} */ (globalThis).bench.painted > 0, undefined, { timeout: 60e3, polling: 50 });
  const paint = await page.evaluate((/** @type {string} */ name) => {
    const entry = performance.getEntriesByType("resource").find(one => one.name.includes(name));
    return /** @type {any} */ (globalThis).bench.painted - /** @type {PerformanceResourceTiming} */ (entry).responseEnd;
  }, profile);
  const loading = (await metric("TaskDuration") - booted) * 1e3;
  await page.waitForTimeout(1500);
  const busyBefore = await metric("TaskDuration"), gaps = (await page.evaluate(move, PICTURES)).slice(1).sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
  const busy = (await metric("TaskDuration") - busyBefore) * 1e3 / gaps.length;
  await session.send("HeapProfiler.collectGarbage");
  await session.send("HeapProfiler.collectGarbage");
  const heap = await session.send("Runtime.getHeapUsage");
  await context.close();
  return {
    paint, loading, busy, p50: gaps[gaps.length >> 1], p95: gaps[Math.floor(gaps.length * 0.95)], late: gaps.filter((/** @type {number} */ gap) => gap > 25).length / gaps.length * 100,
    heap: heap.usedSize / 1e6, buffers: (heap.usedSize + (heap.backingStorageSize ?? 0)) / 1e6,
  };
}

/** @param {number[]} values */
const median = values => values.sort((a, b) => a - b)[values.length >> 1];

const browser = await chromium.launch({
  executablePath: BROWSERS.find(existsSync),
  args: ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});
try {
  console.log(`${browser.version()}, ${ROUNDS} rounds by turns, medians; ratio: speedscope's to ours`);
  for (const size of SIZES.length > 0 ? SIZES : [50_000, 200_000]) {
    const made = profile(size), [tree, rival] = [JSON.stringify(answer(made)), JSON.stringify(speedscope(made))];
    const server = await serve(tree, rival), { port } = /** @type {import("node:net").AddressInfo} */ (server.address()), base = `http://127.0.0.1:${port}`;
    const sides = {
      ours: { url: `${base}/profile?project=1&from=${FROM_US / 1e6}&to=${TO_US / 1e6}`, profile: "/api/v1/tree" },
      speedscope: { url: `${base}/rival/index.html#profileURL=${encodeURIComponent("/rival/profile.json")}&view=left-heavy`, profile: "/rival/profile.json" },
    };
    /** @type {Record<string, Awaited<ReturnType<typeof once>>[]>} */ const results = { ours: [], speedscope: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const order = /** @type {(keyof sides)[]} */ (round % 2 ? ["speedscope", "ours"] : ["ours", "speedscope"]);
      for (const side of order) results[side].push(await once(browser, sides[side].url, sides[side].profile));
    }
    server.close();
    server.closeAllConnections();
    console.log(`\n${size.toLocaleString("en")} nodes, ${(tree.length / 1e6).toFixed(1)} MB as our API answers, ${(rival.length / 1e6).toFixed(1)} MB as speedscope reads it\n`);
    console.log("| | ours | speedscope | ratio |\n|---|---|---|---|");
    const rows = /** @type {[keyof Awaited<ReturnType<typeof once>>, string, string][]} */ ([
      ["paint", "data arrived to first paint", "ms"], ["loading", "main thread's CPU for that", "ms"], ["p50", "between pictures, p50", "ms"], ["p95", "between pictures, p95", "ms"], ["late", "pictures later than 25 ms", "%"],
      ["busy", "main thread's CPU a picture", "ms"], ["heap", "JS heap after collection", "MB"], ["buffers", "with typed arrays", "MB"],
    ]);
    for (const [key, name, unit] of rows) {
      const [a, b] = ["ours", "speedscope"].map(side => median(results[side].map(one => one[key])));
      console.log(`| ${name} | ${a.toFixed(1)} ${unit} | ${b.toFixed(1)} ${unit} | ${a > 0 ? (b / a).toFixed(1) : ""} |`);
    }
  }
} finally {
  await browser.close();
}
