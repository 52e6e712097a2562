// @ts-check
// Light or dark: as the system says, unless the button was pressed; that is kept in this browser, not in the address.

const KEY = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
/** @type {Set<() => void>} */ const listeners = new Set();
/** @type {Map<string, string>} */ const tokens = new Map();

/** @returns {string} "light", "dark", or "" as the system says */
function chosen() {
  try { return localStorage.getItem(KEY) ?? ""; } catch { return ""; }
}

function apply() {
  document.documentElement.dataset.theme = chosen() || (system.matches ? "dark" : "light");
  tokens.clear();
  listeners.forEach(listener => listener());
}

/** Whether the page is dark now. */
export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** Between light and dark; where that is what the system says, it follows the system again. */
export function toggle() {
  const next = isDark() ? "light" : "dark";
  try { if (next === (system.matches ? "dark" : "light")) localStorage.removeItem(KEY); else localStorage.setItem(KEY, next); } catch { /* a browser that keeps nothing */ }
  apply();
}

/** Calls when the theme changes. @param {() => void} listener @returns {() => void} ends it */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A colour of the stylesheet, for canvases. @param {string} name without its hyphens @returns {string} as computed */
export function token(name) {
  let value = tokens.get(name);
  if (value === undefined) {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    value = getComputedStyle(probe).color;
    probe.remove();
    tokens.set(name, value);
  }
  return value;
}

system.addEventListener("change", apply);
apply();
