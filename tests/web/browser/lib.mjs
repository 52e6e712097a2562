// What the browser tests share: a browser, pages whose every complaint is kept, and the API beside the page.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const modules = process.env.SENTRY_PROFILED_NODE_MODULES;
const require = createRequire(path.join(modules, "here.js"));
const { chromium } = require("playwright-core");
export const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Where the server is: `http://127.0.0.1:PORT`. */
export const server = process.env.SENTRY_PROFILED_PAGE;

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Runs `work` with a new browser. @param {(browser: any) => Promise<void>} work */
export async function withBrowser(work) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try { await work(browser); } finally { await browser.close(); }
}

/** A page that keeps what its console and its policy complain of in `complaints`. `allowed` are failures that a test makes on purpose. */
export async function newPage(browser, { dark = false, width = 1440, height = 900, reducedMotion = "reduce", allowed = [], ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", reducedMotion, locale: "en-GB", timezoneId: "UTC", permissions: ["clipboard-read", "clipboard-write"], ...more });
  const page = await context.newPage();
  page.complaints = [];
  const complain = text => { if (!allowed.some(one => text.includes(one))) page.complaints.push(text); };
  page.on("console", message => { if (["error", "warning"].includes(message.type())) complain(`${message.type()}: ${message.text()}`); });
  page.on("pageerror", error => complain(`error: ${error.stack ?? error}`));
  page.on("dialog", dialog => { complain(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.addInitScript(() => addEventListener("securitypolicyviolation", event => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  return page;
}

/** Opens an address and waits until nothing is asked any more. */
export async function open(page, address, base = server) {
  await page.goto(base + address);
  await settled(page);
}

/** Nothing is loading, and no question runs for a moment. */
export async function settled(page) {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelector("main:not(.waits)") && !document.querySelector(".loading"), null, { timeout: 20_000 });
}

/** A question to the server beside the page. */
export async function api(question, base = server) {
  const answer = await fetch(`${base}/api/v1/${question}`);
  if (!answer.ok) throw new Error(`${question}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** What axe-core finds, each with where. */
export async function axe(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.slice(0, 3).map(node => `${node.target} ${node.failureSummary ?? ""}`).join(" | ")}`));
  return found;
}

/** The window of time of what the tests look at, so that nothing moves meanwhile. */
export const WINDOW = `from=${process.env.SENTRY_PROFILED_FROM}&to=${process.env.SENTRY_PROFILED_TO}`;
