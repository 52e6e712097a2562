// What looking at a live profile costs: node benches/page/live.js BINARY [SECONDS]. Profiles a busy Python program of ten threads, first with
// nobody looking, then with the page open; prints CPU time as shares of a core: of the browser (all of its processes), and what the agent takes more.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";

const [binary, seconds = "20"] = process.argv.slice(2);
if (!binary) throw new Error("usage: node benches/page/live.js BINARY [SECONDS]");
const modules = process.env.SENTRY_PROFILED_NODE_MODULES ?? path.join(import.meta.dirname, "../../target/npm/node_modules");
const { chromium } = createRequire(path.join(modules, "here.js"))("playwright-core");

const PROGRAM = `
import json, threading, time
def work(n):
    while True:
        json.loads(json.dumps([{"a": i, "b": str(i)} for i in range(n)]))
        time.sleep(0.02)
for n in range(10): threading.Thread(target=work, args=(20 + 10 * n,), daemon=True).start()
print("ready", flush=True)
time.sleep(3600)
`;
/** Clock ticks of user and kernel time, 100 a second (proc(5), fields 14 and 15). @param {number} pid */
function ticks(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8"), fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch { return 0; }
}

/** A process and all below it. @param {number} root @returns {number[]} */
function family(root) {
  const parents = new Map(readdirSync("/proc").filter(name => /^\d+$/.test(name)).flatMap(name => {
    try { const stat = readFileSync(`/proc/${name}/stat`, "utf8"); return [[Number(name), Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0])]]; } catch { return []; }
  }));
  const all = [root];
  for (let at = 0; at < all.length; at++) for (const [pid, parent] of parents) if (parent === all[at]) all.push(pid);
  return all;
}

const sum = (/** @type {number[]} */ pids) => pids.reduce((sum, pid) => sum + ticks(pid), 0);
const wait = (/** @type {number} */ ms) => new Promise(done => setTimeout(done, ms));
/** Runs for so long; shares of a core. @param {() => number[][]} of groups of processes */
async function shares(of) {
  const groups = of(), before = groups.map(sum);
  await wait(Number(seconds) * 1000);
  return groups.map((group, at) => (sum(group) - before[at]) / Number(seconds));
}

const port = await new Promise(resolve => { const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => resolve(port)); }); });
const state = mkdtempSync(path.join(tmpdir(), "live-"));
const target = spawn("python3", ["-c", PROGRAM], { stdio: ["ignore", "pipe", "inherit"] });
await new Promise(ready => target.stdout.once("data", ready));
const agent = spawn(binary, ["--pid", String(target.pid), "--listen", `127.0.0.1:${port}`], { stdio: "ignore", env: { ...process.env, STATE_DIRECTORY: state } });
await wait(15_000);
const [alone] = await shares(() => [[agent.pid]]);
const browser = await chromium.launchServer({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"] });
const page = await (await chromium.connect(browser.wsEndpoint())).newPage({ viewport: { width: 1440, height: 900 } });
await page.goto(`http://127.0.0.1:${port}/profile?from=-5m`);
await wait(8000);
const [looked, browsing] = await shares(() => [[agent.pid], family(browser.process().pid)]);
await browser.close();
agent.kill("SIGTERM");
target.kill("SIGKILL");
await new Promise(done => agent.once("exit", done));
rmSync(state, { recursive: true });
console.log(`agent alone ${alone.toFixed(1)} %, with the page open ${looked.toFixed(1)} % (+${(looked - alone).toFixed(1)}), browser ${browsing.toFixed(1)} % of a core`);
