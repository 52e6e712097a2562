// Through every page and view on profiles of real programs: each control does what it says, the figures are the API's, the
// address restores what is seen, Back works, and nothing complains.

import assert from "node:assert/strict";
import { test } from "node:test";
import { count, duration, percent } from "../../../server/web/data/format.js";
import { api, newPage, open, server, settled, WINDOW, withBrowser } from "./lib.mjs";

/** Our own agent's profile of the Node program: its states are known. */
const STAGING = `${WINDOW}&env=staging`, ASKED = `${WINDOW}&environment=staging`;
const FORMATS = ["collapsed", "speedscope", "pprof", "firefox", "sentry"];

/** Figures without the spaces that only look different. */
const plain = text => text.replace(/[\u202f\u00a0]/g, " ").replace(/\s+/g, " ").trim();
const text = async locator => plain(await locator.innerText());
const search = page => page.evaluate(() => location.search);

/** One page for a test, without complaints at its end. */
function walk(name, work) {
  test(name, () => withBrowser(async browser => {
    const page = await newPage(browser);
    await work(page, browser);
    assert.deepEqual(page.complaints, []);
  }));
}

/** The rows of the function table as the API has them: name, self, share, total, share. */
async function functionRows(query, many) {
  const { functions, total_us } = await api(`functions?${query}&limit=${many}`);
  return functions.map(({ function: { name }, own, total }) => [name, duration(own.us), percent(own.us, total_us), duration(total.us), percent(total.us, total_us)].map(plain));
}

async function shownRows(page, many) {
  await page.getByRole("tab", { name: "Functions" }).click();
  await settled(page);
  const rows = page.getByRole("grid", { name: "Functions" }).getByRole("rowgroup").nth(1).getByRole("row");
  await rows.first().waitFor();
  const shown = [];
  for (let at = 0; at < many; at++) {
    const cells = await rows.nth(at).getByRole("gridcell").allInnerTexts();
    shown.push(cells.map(plain));
  }
  return shown;
}

walk("the table is the API's, by the wall clock and on a CPU", async page => {
  await open(page, `/profile?${STAGING}`);
  for (const [clock, states] of [["Wall clock", "all"], ["On CPU", "on_cpu"]]) {
    await page.getByRole("button", { name: clock, exact: true }).click();
    const expected = await functionRows(`${ASKED}&states=${states}`, 6), shown = await shownRows(page, 6);
    for (const [at, [name, self, selfShare, total, totalShare]] of expected.entries()) {
      assert.ok(shown[at][0].startsWith(name), `${clock}, row ${at}: ${shown[at]} is not ${name}`);
      for (const figure of [self, selfShare, total, totalShare]) assert.ok(shown[at].includes(figure), `${clock}, ${name}: ${figure} is not among ${shown[at]}`);
    }
  }
  assert.match(await search(page), /clock=cpu/);
});

walk("views by click and by key; Back and the address restore them", async page => {
  await open(page, `/profile?${STAGING}`);
  const views = ["Flame graph", "Time order", "Inverted", "Sandwich", "Call tree", "Functions"];
  for (const view of views) {
    await page.getByRole("tab", { name: view }).click();
    await settled(page);
    assert.equal(await page.getByRole("tab", { name: view }).getAttribute("aria-selected"), "true");
    assert.equal(await page.getByRole("tabpanel").getAttribute("aria-label") ?? view, view);
  }
  await page.goBack();
  await settled(page);
  assert.equal(await page.getByRole("tab", { name: "Call tree" }).getAttribute("aria-selected"), "true");
  const address = page.url(), before = await text(page.getByRole("tabpanel"));
  assert.ok(before.length > 100, before);
  await page.reload();
  await settled(page);
  assert.equal(page.url(), address);
  assert.equal(await text(page.getByRole("tabpanel")), before);
});

walk("search marks, select shows, pills change the tree and come off again", async page => {
  await open(page, `/profile?${STAGING}&view=functions`);
  const total = plain(duration((await api(`tree?${ASKED}`)).total_us));
  assert.ok((await text(page.locator(".pills"))).includes(total), `${total} is in the strip`);
  await page.keyboard.press("Control+f");
  await page.keyboard.type("Stringif");
  await settled(page);
  assert.match(await text(page.locator(".find")), /\d+ · [\d.]+ %/);
  const found = page.getByRole("grid", { name: "Functions" }).getByRole("gridcell").filter({ hasText: "Stringif" }).first();
  await found.click();
  const details = page.getByRole("complementary", { name: "Details" });
  await details.getByRole("button", { name: /^Focus/ }).waitFor();
  assert.match(await text(details), /Stringif/);
  await details.getByRole("button", { name: /^Focus/ }).click();
  await settled(page);
  assert.match(await search(page), /fx=focus/);
  await page.getByRole("button", { name: /^Remove: focus/i }).click();
  await settled(page);
  assert.doesNotMatch(await search(page), /fx=/);
  await details.getByRole("button", { name: /^Hide/ }).first().click();
  await settled(page);
  assert.match(await search(page), /fx=hide/);
  await page.goBack();
  await settled(page);
  assert.doesNotMatch(await search(page), /fx=/);
});

walk("a thread, and a window drawn on the axis", async page => {
  await open(page, `/profile?${STAGING}`);
  const { threads } = await api(`threads?${ASKED}`);
  await page.getByRole("button", { name: "Show all" }).click();
  const listbox = page.getByRole("listbox");
  await listbox.waitFor();
  const chosen = threads.find(thread => thread.name) ?? threads[0];
  await listbox.getByRole("option").filter({ hasText: chosen.id }).first().click();
  await page.keyboard.press("Escape");
  await settled(page);
  assert.ok(new URL(page.url()).searchParams.getAll("tid").includes(chosen.id), page.url());
  const whole = await api(`tree?${ASKED}&thread=${chosen.id}`);
  assert.ok((await text(page.locator(".pills"))).includes(plain(duration(whole.total_us))), "the strip has the thread's time");
  const box = await page.getByRole("region", { name: "Timeline" }).locator("canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 10);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 12, { steps: 4 });
  await page.mouse.up();
  await settled(page);
  const query = new URL(page.url()).searchParams, [w0, w1] = [Number(query.get("w0")), Number(query.get("w1"))];
  assert.ok(w0 > 0 && w1 > w0, page.url());
  const cut = await api(`tree?env&environment=staging&from=${w0 / 1e6}&to=${w1 / 1e6}&thread=${chosen.id}`.replace("env&", ""));
  assert.ok((await text(page.locator(".pills"))).includes(plain(duration(cut.total_us))), `${duration(cut.total_us)} of the window is in the strip`);
  await page.goBack();
  await settled(page);
  assert.equal(new URL(page.url()).searchParams.get("w0"), null);
});

walk("every export is a file", async page => {
  await open(page, `/profile?${STAGING}`);
  await page.getByRole("button", { name: "Export" }).click();
  const many = await page.getByRole("menuitem").count();
  assert.ok(many >= FORMATS.length, `${many} formats`);
  await page.keyboard.press("Escape");
  for (let at = 0; at < many; at++) {
    await page.getByRole("button", { name: "Export" }).click();
    const coming = page.waitForEvent("download");
    await page.getByRole("menuitem").nth(at).click();
    const download = await coming, chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).length > 200, download.suggestedFilename());
  }
});

walk("home: services, and from there to a profile", async page => {
  await open(page, `/?${WINDOW}`);
  const words = await text(page.locator("main"));
  for (const name of ["webshop", "gateway", "receiver"]) assert.ok(words.includes(name), `${name} is not in ${words}`);
  await page.getByRole("link", { name: /gateway/ }).or(page.getByRole("button", { name: /gateway/ })).first().click();
  await settled(page);
  assert.match(page.url(), /\/profile\?.*env=staging/);
  await page.keyboard.press("Escape");
  await page.locator("body").press("/");
  await page.getByRole("combobox", { name: /Go to/ }).fill("webshop");
  await page.getByRole("option").filter({ hasText: "webshop" }).first().waitFor();
  await page.keyboard.press("Enter");
  await settled(page);
  assert.match(page.url(), /\/profile\?/);
  await page.goBack();
  await page.goBack();
  await settled(page);
  assert.equal(new URL(page.url()).pathname, "/");
});

walk("compare: what the second release does more", async page => {
  const b = `${WINDOW}&release=webshop@4.18.2`, a = WINDOW.replace("from=", "a_from=").replace("to=", "a_to=") + "&a_release=webshop@4.18.1";
  await open(page, `/compare?${b}&${a}`);
  const { functions } = await api(`difference?${b}&base_release=webshop@4.18.1`);
  const { total } = functions.find(row => row.function.name === "matches");
  assert.ok(total.difference > total.error_95, "the test's second release is slower");
  await page.getByRole("searchbox").fill("matches");
  await settled(page);
  const row = await text(page.getByRole("row").filter({ hasText: "matches" }).first());
  for (const figure of [plain(percent(total.a, 1)), plain(percent(total.b, 1)), `+${(total.difference * 100).toFixed(1)}`]) assert.ok(row.includes(figure), `${figure} is not in ${row}`);
  for (const view of ["Side by side", "Only in B", "Only in A", "Difference"]) {
    await page.getByRole("tab", { name: view }).click();
    await settled(page);
  }
  await page.getByRole("button", { name: "Swap A and B" }).click();
  await settled(page);
  assert.match(decodeURIComponent(await search(page)), /a_release=webshop@4\.18\.2/);
});

walk("transactions: by name, one of them, its trace, its slice of the profile", async page => {
  await open(page, `/transactions?${WINDOW}`);
  const { transactions } = await api(`transactions?${WINDOW}`);
  for (const { name, count: many, p50_us, p95_us } of transactions) {
    const row = await text(page.getByRole("row").filter({ has: page.getByRole("button", { name, exact: true }) }).first());
    for (const figure of [count(many), duration(p50_us), duration(p95_us)].map(plain)) assert.ok(row.includes(figure), `${figure} is not in ${row}`);
  }
  await page.getByRole("button", { name: "checkout", exact: true }).first().click();
  await settled(page);
  assert.match(await search(page), /name=checkout/);
  const slowest = await api(`transactions/newest?${WINDOW}&name=checkout&order=slowest&limit=1`);
  const { trace_id } = slowest.transactions[0].transaction;
  const link = page.getByRole("link", { name: trace_id.replaceAll("-", "").slice(0, 8) }).first();
  await link.click();
  await settled(page);
  assert.match(page.url(), /\/trace\?/);
  const trace = await api(`traces/${trace_id}`);
  const rows = page.getByRole("treegrid").getByRole("row");
  assert.ok(await rows.count() >= Math.min(trace.spans.length, 5), `${await rows.count()} rows of ${trace.spans.length} spans`);
  assert.ok((await text(page.locator("main"))).includes("price_cart"));
  await page.getByRole("link", { name: /profile slice/i }).or(page.getByRole("button", { name: /profile slice/i })).first().click();
  await settled(page);
  assert.match(page.url(), /\/profile\?.*tid=/);
  assert.ok(Number(new URL(page.url()).searchParams.get("w0")) > 0, page.url());
});

walk("a span of time of one's own, from whatever the address says", async page => {
  await open(page, "/transactions?from=2020-01-01T10:00:00Z&to=now");
  const button = page.getByRole("button", { name: /^(Since|1 Jan)/ });
  await button.click();
  await page.keyboard.press("Escape");
  assert.ok(await button.evaluate(node => node === document.activeElement), "the button has the focus again");
  await button.click();
  await page.getByRole("menuitem", { name: /From/ }).click();
  const from = page.getByRole("textbox", { name: "From" });
  assert.match(await from.inputValue(), /^2020-01-01T10:00/);
  await from.fill("2026-11-27T09:00:00");
  // The live page is drawn again meanwhile.
  await page.waitForTimeout(2500);
  assert.match(await from.inputValue(), /^2026-11-27T09:00/);
  await page.getByRole("button", { name: "Show" }).click();
  await settled(page);
  assert.match(await search(page), /from=1795770000&/);
  await open(page, "/profile?from=0&to=99999999999");
});

walk("usage and refused", async page => {
  await open(page, "/usage");
  assert.match(await text(page.locator("main")), /profile hours/);
  await open(page, "/refused");
  assert.ok((await text(page.locator("main"))).length > 10);
});

walk("the first load is small, and what is asked twice comes from the browser", async page => {
  await open(page, `/profile?${STAGING}`);
  const bytes = await page.evaluate(() => [...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")].filter(entry => !entry.name.includes("/api/")).reduce((sum, entry) => sum + entry.encodedBodySize, 0));
  assert.ok(bytes > 10_000 && bytes <= 150_000, `${bytes} bytes`);
});

walk("a flame graph by keyboard alone, said in words", async page => {
  await open(page, `/profile?${STAGING}`);
  const graph = page.getByRole("application").first();
  for (let presses = 0; presses < 80 && !await graph.evaluate(node => node === document.activeElement); presses++) await page.keyboard.press("Tab");
  assert.ok(await graph.evaluate(node => node === document.activeElement), "Tab leads to the graph");
  const said = async () => plain(await graph.evaluate(node => document.getElementById(node.getAttribute("aria-activedescendant"))?.textContent ?? ""));
  await page.keyboard.press("ArrowDown");
  const first = await said();
  assert.match(first, /^.+, self [\d.<]+ percent, total [\d.<]+ percent, depth \d+/);
  await page.keyboard.press("ArrowDown");
  const second = await said();
  assert.notEqual(second, first);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /[?&]z=/.test(location.search));
  await page.keyboard.press("0");
  await page.waitForFunction(() => !/[?&]z=/.test(location.search));
  await page.keyboard.press("h");
  await settled(page);
  assert.match(await search(page), /fx=hide/);
  await page.keyboard.press("2");
  await settled(page);
  assert.equal(await page.getByRole("tab", { name: "Time order" }).getAttribute("aria-selected"), "true");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
});

walk("live: a page asks again, and stops when it is told", async page => {
  let asked = 0;
  page.on("request", request => { if (request.url().includes("/api/v1/tree")) asked++; });
  await page.goto(`${server}/profile?from=-1h`);
  await settled(page).catch(() => {});
  const live = page.getByRole("button", { name: "Live" });
  assert.equal(await live.getAttribute("aria-pressed"), "true");
  await page.waitForTimeout(4500);
  const before = asked;
  assert.ok(before >= 2, `${before} questions`);
  await live.click();
  await page.waitForTimeout(3000);
  assert.ok(asked <= before + 1, `${asked} after ${before}`);
});
