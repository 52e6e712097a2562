// What the page says when something is not as it should be: nothing there, nothing found, a broken chunk, a server that is
// gone and comes back, an answer that takes its time.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { newPage, open, server, settled, WINDOW, withBrowser } from "./lib.mjs";

/** A port that nobody listens on. */
function freePort() {
  return new Promise(resolve => {
    const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => resolve(port)); });
  });
}

/** A server of our own, that can be ended. */
async function serve(store, port) {
  const child = spawn(process.env.SENTRY_PROFILED_BINARY, ["serve", "--store", store, "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve, reject) => { child.stdout.once("data", resolve); child.once("exit", code => reject(new Error(`ended with ${code}`))); });
  return { base: `http://127.0.0.1:${port}`, end: () => new Promise(resolve => { child.once("exit", resolve); child.kill("SIGTERM"); }) };
}

const main = page => page.locator("#page").innerText();
const flat = text => text.replace(/\s+/g, " ");

test("nothing there", () => withBrowser(async browser => {
  const page = await newPage(browser);
  await open(page, "/profile?from=1600000000&to=1600003600");
  assert.match(flat(await main(page)), /No samples .*between/);
  const folder = mkdtempSync(path.join(tmpdir(), "page-"));
  const own = await serve(folder, await freePort());
  await open(page, "/", own.base);
  const words = flat(await main(page));
  for (const said of ["No profiles yet. Start with one process.", "sentry-profiled --pid", "SENTRY_DSN="]) assert.ok(words.includes(said), `${said} is not in ${words}`);
  assert.deepEqual(page.complaints, []);
  await own.end();
  rmSync(folder, { recursive: true });
}));

test("nothing found", () => withBrowser(async browser => {
  const page = await newPage(browser);
  await open(page, `/profile?${WINDOW}&q=nobody_is_called_so`);
  assert.match(flat(await main(page)), /No function or file matches nobody_is_called_so/);
  await open(page, `/profile?${WINDOW}&q=pri(ce&rx=1`);
  assert.match(flat(await main(page)), /open bracket|Unterminated group|not complete/i);
  assert.deepEqual(page.complaints, []);
}));

test("a broken chunk, and a server that is gone and comes back", () => withBrowser(async browser => {
  const folder = mkdtempSync(path.join(tmpdir(), "page-")), store = path.join(folder, "store");
  cpSync(process.env.SENTRY_PROFILED_STORE, store, { recursive: true });
  rmSync(path.join(store, "lock"), { force: true });
  const segments = readdirSync(path.join(store, "partitions"), { recursive: true, withFileTypes: true }).filter(file => file.isFile()).map(file => path.join(file.parentPath, file.name));
  const largest = segments.map(file => [file, readFileSync(file)]).sort((a, b) => b[1].length - a[1].length)[0];
  for (let at = 200; at < 1200 && at < largest[1].length; at++) largest[1][at] ^= 0xff;
  writeFileSync(largest[0], largest[1]);
  const port = await freePort();
  let own = await serve(store, port);
  const page = await newPage(browser, { allowed: ["ERR_CONNECTION_REFUSED", "Failed to fetch", "status of 50"] });
  await open(page, `/profile?${WINDOW}`, own.base);
  assert.match(flat(await main(page)), /\d+ of [\d,]+ (chunks?|profiles?) cannot be read/);
  await own.end();
  // A question that the server cannot answer any more.
  await page.getByRole("button", { name: "On CPU" }).click();
  await page.getByRole("tab", { name: "Functions" }).click();
  await page.getByLabel(/release/i).first().selectOption({ index: 1 }).catch(() => {});
  await page.waitForFunction(() => document.body.innerText.includes("The server does not answer."), null, { timeout: 15_000 });
  assert.match(flat(await main(page)), /Trying again in \d+ s\. What you see is from \d\d:\d\d:\d\d/);
  own = await serve(store, port);
  await page.waitForFunction(() => !document.body.innerText.includes("The server does not answer."), null, { timeout: 30_000 });
  assert.deepEqual(page.complaints, []);
  await own.end();
  rmSync(folder, { recursive: true });
}));

test("an answer that takes its time", () => withBrowser(async browser => {
  const page = await newPage(browser);
  await page.route("**/api/v1/tree*", async route => { await new Promise(resolve => setTimeout(resolve, 2500)); await route.continue(); });
  await page.goto(`${server}/profile?${WINDOW}`);
  await page.waitForTimeout(1800);
  assert.match(flat(await page.locator(".loading").first().innerText()), /Merging|Asking|Loading/i);
  const before = await page.locator("[role=tablist]").first().boundingBox();
  await settled(page);
  assert.deepEqual(await page.locator("[role=tablist]").first().boundingBox(), before, "nothing moved when the answer came");
  assert.deepEqual(page.complaints, []);
}));
