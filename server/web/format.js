// @ts-check
// Numbers as people read them: three figures, a narrow no-break space before the unit.

const NARROW = "\u202f";

/** @param {number} us microseconds @returns {string} */
export function duration(us) {
  const steps = [[1e3, 1, "µs"], [1e6, 1e3, "ms"], [60e6, 1e6, "s"], [3600e6, 60e6, "min"]];
  for (const [below, unit, name] of steps) {
    if (us < Number(below)) return figures(us / Number(unit)) + NARROW + name;
  }
  return figures(us / 3600e6) + NARROW + "h";
}

/** @param {number} value */
function figures(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (part === 0 || whole === 0) return "0" + NARROW + "%";
  const share = part * 100 / whole;
  return (share < 0.1 ? "<0.1" : share.toFixed(1)) + NARROW + "%";
}

/** @param {number} many */
export function count(many) {
  return many >= 1e6 ? (many / 1e6).toFixed(2) + NARROW + "M" : Math.round(many).toLocaleString("en");
}

/** @param {number} cpus */
export function cores(cpus) {
  return cpus.toFixed(2);
}

/** @param {number} us microseconds since 1970 @returns {string} the time of day here */
export function clock(us) {
  return new Date(us / 1000).toLocaleTimeString("en-GB");
}
