// Names that are made to break a page: shown as text everywhere, and nothing else happens.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { api, axe, newPage, open, server, settled, withBrowser } from "./lib.mjs";

const NAMES = {
  html: "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold",
  rightToLeft: "\u202Eevil\u2066 \u05E9\u05DC\u05D5\u05DD",
  emoji: "\u{1F525}\u{1F469}\u200D\u{1F469}\u200D\u{1F467} flame",
  long: "L".repeat(10_000),
  control: "a\u0001b\u001B[31mred\u0007\n\tend",
  template: "${7*7}{{7*7}}%s%n",
  prototype: "__proto__",
};
/** Three hours ago: nobody else looks there. */
const AT = Math.floor(Date.now() / 1000) - 3 * 3600;
const WINDOW = `from=${AT - 60}&to=${AT + 60}`;
const names = Object.values(NAMES);
const trace = randomUUID().replaceAll("-", ""), profiler = randomUUID().replaceAll("-", "");

async function send() {
  const { projects } = await api("status");
  const key = new URL(projects[0].dsn).username;
  const frames = names.map((name, at) => ({ function: name, module: names[(at + 1) % names.length], filename: names[(at + 2) % names.length], abs_path: "/" + name, package: at % 2 ? name : undefined, lineno: at + 1, in_app: at % 3 === 0 }));
  const stacks = names.map((_, at) => Array.from({ length: 1 + at }, (_, depth) => (at + depth) % names.length));
  const samples = Array.from({ length: 400 }, (_, at) => ({ timestamp: AT + at / 100, stack_id: at % stacks.length, thread_id: String(1 + at % 2) })).sort((a, b) => a.timestamp - b.timestamp);
  const chunk = { version: "2", chunk_id: randomUUID().replaceAll("-", ""), profiler_id: profiler, platform: "python", client_sdk: { name: NAMES.html, version: "1" }, release: NAMES.html, environment: NAMES.emoji,
    profile: { frames, stacks, samples, thread_metadata: { 1: { name: NAMES.html }, 2: { name: NAMES.rightToLeft } } } };
  const transactions = names.map((name, at) => {
    const spans = names.map((inner, place) => ({ span_id: `${at}${place}`.padStart(16, "b"), parent_span_id: `${at}`.padStart(16, "a"), trace_id: trace, op: inner, description: names[(place + 1) % names.length], start_timestamp: AT + at / 10 + place / 100, timestamp: AT + at / 10 + place / 100 + 0.01 }));
    return { type: "transaction", event_id: randomUUID().replaceAll("-", ""), transaction: name, platform: "python", start_timestamp: AT + at / 10, timestamp: AT + at / 10 + 1, release: NAMES.html, environment: NAMES.emoji,
      contexts: { trace: { trace_id: trace, span_id: `${at}`.padStart(16, "a"), op: name, status: "ok", data: { "thread.id": "1", "thread.name": NAMES.html } }, profile: { profiler_id: profiler } }, spans };
  });
  const items = [[{ type: "profile_chunk", platform: "python" }, chunk], ...transactions.map(of => [{ type: "transaction" }, of]), [{ type: "profile_chunk", platform: NAMES.html }, { version: NAMES.html }]];
  const body = ["{}", ...items.flatMap(([head, payload]) => { const text = JSON.stringify(payload); return [JSON.stringify({ ...head, length: Buffer.byteLength(text) }), text]; })].join("\n");
  const answer = await fetch(`${server}/api/1/envelope/?sentry_key=${key}`, { method: "POST", body });
  assert.equal(answer.status, 200, await answer.text());
}

const ADDRESSES = [
  `/?${WINDOW}`, ...["flame", "time", "inverted", "sandwich", "tree", "functions"].map(view => `/profile?${WINDOW}&view=${view}`),
  `/profile?${WINDOW}&view=functions&q=${encodeURIComponent(NAMES.html)}`, `/profile?${WINDOW}&fx=${encodeURIComponent("hide:fn:" + NAMES.html)}&q=(((&rx=1&f=__proto__&z=constructor`,
  `/compare?${WINDOW}&a_from=${AT - 60}&a_to=${AT + 60}`, `/transactions?${WINDOW}`, `/trace?trace=${trace}`, "/usage", "/refused",
  `/profile?project=${"9".repeat(40)}&from=<script>&view=__proto__&w0=-1&w1=x&fx=nothing:x&colour=constructor&sort=toString`,
];

await send();

describe("names are text", { concurrency: 2 }, () => {
  test("as they are", async () => {
    const kept = await api(`functions?${WINDOW}`);
    assert.ok(kept.functions.some(row => row.function.name === NAMES.html), "the names are kept as they are");
  });
  for (const dark of [false, true]) test(dark ? "dark" : "light", () => withBrowser(async browser => {
    const page = await newPage(browser, { dark, allowed: ["status of 400"] });
    const asked = [];
    page.on("request", request => { if (!request.url().startsWith(server)) asked.push(request.url()); });
    for (const address of ADDRESSES) {
      await open(page, address);
      await settled(page);
      // Over everything that the graph says.
      for (let x = 40; x < 1000; x += 160) await page.mouse.move(x, 420 + x / 10);
      const found = await page.evaluate(() => ({
        images: [...document.images].map(image => image.getAttribute("src")), scripts: [...document.scripts].map(script => script.getAttribute("src")),
        bold: [...document.querySelectorAll("b")].some(bold => bold.textContent === "bold"), wide: document.documentElement.scrollWidth - innerWidth, title: document.title,
      }));
      assert.deepEqual(found.images, ["/icon.svg"], address);
      assert.deepEqual(found.scripts, ["/shell/app.js"], address);
      assert.ok(!found.bold && found.wide <= 0 && found.title.endsWith("sentry-profiled"), `${address}: ${JSON.stringify(found)}`);
      assert.deepEqual(page.complaints, [], address);
      assert.deepEqual(asked, [], address);
    }
    await open(page, `/profile?${WINDOW}&view=functions`);
    assert.ok((await page.locator("main").innerText()).includes("<img src=x onerror=alert(1)>"), "the name is to be read");
    assert.deepEqual(await axe(page), []);
  }));
});
