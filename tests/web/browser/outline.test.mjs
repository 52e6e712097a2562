// The pages as those meet them who do not see them: landmarks, headings, controls, with names and values as text. Figures are `N`, and what
// comes from profiles is left out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, newPage, open, settled, WINDOW, withBrowser } from "./lib.mjs";

const ROLES = /^(banner|navigation|main|complementary|contentinfo|region|tablist|tab|tabpanel|group|treegrid|grid|table|heading|slider|application|search|searchbox|separator|columnheader)\b|^link "(Services|Profile|Compare|Transactions|Usage)"/;

/** A line for each part that keeps its name, indented by depth. */
function outline(snapshot) {
  const kept = [], depths = [];
  for (const line of snapshot.split("\n")) {
    const depth = line.search(/\S/), text = line.trim().replace(/^- /, "").replace(/^'(.*)'(:?)$/, "$1$2").replace(/:( .*)?$/, "");
    if (!ROLES.test(text)) continue;
    while (depths.length > 0 && depths.at(-1) >= depth) depths.pop();
    kept.push("  ".repeat(depths.length) + text.replace(/\d[\d,.:]*/g, "N").replace(/(application "[^":]+).*/, '$1"'));
    depths.push(depth);
  }
  return kept.join("\n");
}

const { transactions } = await api(`transactions/newest?${WINDOW}&name=checkout&order=slowest&limit=1`);
const TOP = `banner
  navigation "Pages"
    link "Services"
    link "Profile"
    link "Compare"
    link "Transactions"
    link "Usage"
`;

/** @type {Record<string, [string, string]>} */
const PAGES = {
  home: [`/?${WINDOW}`, `main
  region "Services"
    heading "Services" [level=N]
    searchbox "Filter services"
    table
      columnheader "Service"
      columnheader "CPU, cores ↓"
      columnheader "Profiled"
      columnheader "Top functions by self time"
      columnheader "Data quality"
  complementary "Over all services"
    heading "Hottest functions self, all services" [level=N]
    heading "Changed since the last release" [level=N]
    heading "Add a service" [level=N]
contentinfo "The server"`],
  profile: [`/profile?${WINDOW}&env=staging`, `main
  heading "gateway" [level=N]
  group "Clock"
  region "Timeline"
    slider "Start of the window"
    slider "End of the window"
  tablist "View"
    tab "Flame graph" [selected]
    tab "Time order"
    tab "Inverted"
    tab "Sandwich"
    tab "Call tree"
    tab "Functions"
  search
  group "What the colours mean"
  tabpanel "Flame graph"
    application "Flame graph"
  complementary "Details"
    separator "Width of the details"
contentinfo "Quality of the data"`],
  "call tree": [`/profile?${WINDOW}&env=staging&view=tree`, `main
  heading "gateway" [level=N]
  group "Clock"
  region "Timeline"
    slider "Start of the window"
    slider "End of the window"
  tablist "View"
    tab "Flame graph"
    tab "Time order"
    tab "Inverted"
    tab "Sandwich"
    tab "Call tree" [selected]
    tab "Functions"
  search
  group "What the colours mean"
  tabpanel "Call tree"
    treegrid "Call tree"
      columnheader "Total ↓"
      columnheader "Time"
      columnheader "Self"
      columnheader "Share"
      columnheader "Function"
      columnheader "File"
  complementary "Details"
    separator "Width of the details"
contentinfo "Quality of the data"`],
  compare: [`/compare?${WINDOW}&release=webshop@4.18.2&a_release=webshop@4.18.1&${WINDOW.replace("from=", "a_from=").replace("to=", "a_to=")}`, `main
  heading "Compare" [level=N]
  region "Side A, before"
  region "Side B, after"
  tablist "View"
    tab "Difference" [selected]
    tab "Side by side"
    tab "Only in B"
    tab "Only in A"
  group "Clock"
  group "Measure"
  searchbox "Search name or file"
  tabpanel "Difference"
    application "Difference"
    region "Functions"
      table
        columnheader "Function"
        columnheader "File"
        columnheader "A total"
        columnheader "B total"
        columnheader "Change, pt ↓"
        columnheader "less more"
        columnheader "Noise ±"
        columnheader "Time of a function"
          group "Time of a function"
contentinfo "Quality of the data"`],
  transactions: [`/transactions?${WINDOW}`, `main
  heading "Transactions" [level=N]
  searchbox "Search names, or a trace's id"
  group "Which"
  region "Heat map of durations"
    application "Durations of all transactions over time"
  region "By name"
    heading "By name" [level=N]
    table
      columnheader "Transaction"
      columnheader "Total ↓"
      columnheader "Count"
      columnheader "Failed"
      columnheader "pN"
      columnheader "pN"
      columnheader "Spread"
      columnheader "Where time goes"
  region "All transactions"
    heading "All transactions" [level=N]
    table
      columnheader "Time"
      columnheader "Trace"
      columnheader "Transaction"
      columnheader "Duration ↓"
      columnheader "Where time goes"
      columnheader "Samples"
      columnheader "Profile"
  region "What the slowest N % do more"
    heading "What the slowest N % do more" [level=N]
    group "What the slowest N % do more"
      table
        columnheader "Function"
        columnheader "Share of own time"
        columnheader "Change"
contentinfo "Quality"`],
  trace: [`/trace?trace=${transactions[0].transaction.trace_id}`, `main
  link "Transactions"
  heading "checkout" [level=N]
  treegrid "Spans"
    columnheader "Span"
    columnheader "Time, N to N ms"
  complementary "Details"
contentinfo "Quality"`],
  usage: ["/usage", `main
  region "Usage"
    heading "Usage" [level=N]
    table
      columnheader "Project"
      columnheader "Instances"
      columnheader "Hours this month ↓"
      columnheader "A day"
      columnheader "Month at this pace"
      columnheader "Share"
      columnheader "As Sentry counts"
      columnheader "Stored, last N h"
      columnheader "Bytes a sample"
  complementary "Estimate and budget"
    heading "Estimate for a fleet" [level=N]
    heading "Budget" [level=N]
contentinfo "What the figures rest on"`],
};

for (const [name, [address, expected]] of Object.entries(PAGES)) {
  test(name, () => withBrowser(async browser => {
    const page = await newPage(browser);
    await open(page, address);
    await settled(page);
    assert.equal(outline(await page.locator("body").ariaSnapshot()), TOP + expected);
  }));
}
