// @ts-check
// The page: what is asked stands in the address, is asked again while it is live, and is shown as flame graph and table.

import { ask, tree } from "./api.js";
import { Flame } from "./flame.js";
import { count, duration, percent } from "./format.js";
import { hottest } from "./functions.js";

/** How often a live page asks, milliseconds. A hidden one does not. */
const EVERY_MS = 2000;
const ROWS = 60;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const byId = id => /** @type {T} */ (document.getElementById(id));
/** @type {HTMLSelectElement} */ const processes = byId("process");
/** @type {HTMLSelectElement} */ const threads = byId("thread");
/** @type {HTMLSelectElement} */ const spans = byId("window");
const flame = new Flame(byId("flame"), byId("tip"), () => {});

const state = { project: "1", profiler: "", thread: "", window: "300", states: "all" };
let live = true;
let asking = new AbortController();

function read() {
  const query = new URLSearchParams(location.search);
  for (const key of /** @type {(keyof typeof state)[]} */ (Object.keys(state))) state[key] = query.get(key) ?? state[key];
}

/** @param {Partial<typeof state>} change */
function go(change) {
  Object.assign(state, change);
  history.pushState(null, "", "?" + new URLSearchParams(state) + location.hash);
  refresh();
}

/** What is selected, as parameters of a question. */
function selection() {
  return { project: state.project, profiler: state.profiler || undefined, from: `-${state.window}s`, states: state.states };
}

/** @param {HTMLSelectElement} select @param {string} chosen @param {[string, string][]} options value and text */
function fill(select, chosen, options) {
  if (document.activeElement === select) return;
  if (chosen && !options.some(([value]) => value === chosen)) options.push([chosen, chosen]);
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

async function refresh() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  try {
    const { states, ...sessions } = selection();
    const [services, lines, body, trust] = await Promise.all([
      ask("services", { project: state.project, from: `-${state.window}s` }, signal),
      ask("threads", selection(), signal),
      ask("tree", { ...selection(), thread: state.thread || undefined }, signal),
      ask("quality", sessions, signal),
    ]);
    show(services, lines, body, trust);
  } catch (error) {
    if (!signal.aborted) byId("summary").textContent = String(error instanceof Error ? error.message : error);
  }
}

/** @param {any} services @param {any} lines @param {any} body @param {any} trust */
function show(services, lines, body, trust) {
  fill(processes, state.profiler, [["", "all"], ...services.sessions.map(process)]);
  fill(threads, state.thread, [["", "all"], ...lines.threads.map(thread)]);
  spans.value = state.window;
  for (const button of document.querySelectorAll("[data-states]")) {
    button.setAttribute("aria-pressed", String(button instanceof HTMLElement && button.dataset.states === state.states));
  }
  const shown = tree(body);
  flame.show(shown);
  table(shown);
  byId("summary").textContent = shown.depth.length > 0
    ? `${duration(shown.all)} of thread time, ${count(shown.seen)} samples`
    : "No samples yet in this window.";
  byId("quality").textContent = quality(trust, body);
}

/** @param {any} process @returns {[string, string]} */
function process({ profiler_id, pid, executable, sdk }) {
  const program = executable ? executable.split("/").pop() : sdk[0];
  return [profiler_id, pid ? `${program} (${pid})` : `${program} ${profiler_id.slice(0, 8)}`];
}

/** @param {any} thread @returns {[string, string]} */
function thread({ id, name }) {
  return [id, name ? `${name} (${id})` : id];
}

/** @param {import("./flame.js").Tree} shown */
function table(shown) {
  byId("functions").replaceChildren(...hottest(shown).slice(0, ROWS).map(({ func, own, total }) => {
    const row = document.createElement("tr"), { name, module, package: library } = shown.functions[func];
    for (const text of [percent(own, shown.all), percent(total, shown.all), name]) row.insertCell().textContent = text;
    const where = document.createElement("small");
    where.textContent = " " + (module ?? library ?? "");
    row.cells[2].append(where);
    row.title = name;
    return row;
  }));
}

/** @param {any} services @param {any} body */
function quality(trust, body) {
  const parts = [];
  const { profiles, counters, stopped_us, agent_cpu_us, span_us, ticks, ticks_asked } = trust;
  if (profiles > 0) {
    parts.push(`${percent(ticks, ticks_asked)} of the ticks that were asked for`);
    for (const key of ["late", "skipped", "lost", "truncated", "guessed", "dropped"]) {
      parts.push(`${key} ${count(sum(counters[key]))}`);
    }
    parts.push(`held stopped ${percent(stopped_us, span_us)} of the time`, `agent ${percent(agent_cpu_us, span_us)} of a core`);
  }
  if (body.covers.damaged?.length) parts.push(`${body.covers.damaged.length} profiles cannot be read`);
  return parts.join("  ·  ");
}

/** A count, or counts by reason. @param {number | Record<string, number>} counted @returns {number} */
function sum(counted) {
  return typeof counted === "number" ? counted : Object.values(counted).reduce((all, one) => all + one, 0);
}

processes.addEventListener("change", () => go({ profiler: processes.value, thread: "" }));
threads.addEventListener("change", () => go({ thread: threads.value }));
spans.addEventListener("change", () => go({ window: spans.value }));
for (const button of document.querySelectorAll("[data-states]")) {
  button.addEventListener("click", () => { if (button instanceof HTMLElement) go({ states: button.dataset.states }); });
}
byId("live").addEventListener("click", event => {
  live = !live;
  if (event.currentTarget instanceof HTMLElement) event.currentTarget.setAttribute("aria-pressed", String(live));
});
addEventListener("popstate", () => { read(); refresh(); });
setInterval(() => { if (live && !document.hidden) refresh(); }, EVERY_MS);
read();
refresh();
