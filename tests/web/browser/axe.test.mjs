// Every page and view, light, dark and narrow: axe-core finds nothing, and neither console nor policy complains.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { api, axe, newPage, open, settled, WINDOW, withBrowser } from "./lib.mjs";

const { transactions } = await api(`transactions/newest?${WINDOW}&name=checkout&limit=1&profiled=true`);
const trace = transactions[0].transaction.trace_id;
const ADDRESSES = [
  `/?${WINDOW}`,
  ...["flame", "time", "inverted", "sandwich", "tree", "functions"].map(view => `/profile?${WINDOW}&view=${view}`),
  `/compare?${WINDOW}`, `/transactions?${WINDOW}`, `/trace?trace=${trace}`, "/usage", "/refused",
];

// Two at a time: they wait most of the time.
describe("no findings", { concurrency: 2 }, () => {
  for (const [name, options] of [["light", {}], ["dark", { dark: true }], ["narrow", { width: 900, height: 700 }], ["zoomed", { width: 720, height: 450, deviceScaleFactor: 2 }]]) {
    test(name, () => withBrowser(async browser => {
      const page = await newPage(browser, { ...options, bypassCSP: false });
      for (const address of ADDRESSES) {
        await open(page, address);
        await settled(page);
        assert.deepEqual(await axe(page), [], address);
        const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide[0] <= wide[1], `${address} is wider than the window: ${wide}`);
        assert.deepEqual(page.complaints, [], address);
      }
    }));
  }
});
