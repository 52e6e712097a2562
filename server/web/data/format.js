// @ts-check
// Numbers as people read them: three figures, a narrow no-break space before the unit.

const NARROW = "\u202f";

/** @param {number} us microseconds @returns {string} */
export function duration(us) {
  const minutes = Math.floor(us / 60e6), rest = Math.round(us % 60e6 / 1e6);
  if (us >= 3600e6) return figures(us / 3600e6) + NARROW + "h";
  if (us >= 60e6) return rest === 60 ? `${minutes + 1}${NARROW}min` : `${minutes}${NARROW}min` + (rest > 0 ? ` ${rest}${NARROW}s` : "");
  if (us < 999.5) return us === 0 ? "0" + NARROW + "ms" : us.toFixed(0) + NARROW + "µs";
  const [unit, name] = us < 999.5e3 ? [1e3, "ms"] : [1e6, "s"];
  return figures(us / Number(unit)) + NARROW + name;
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

/** @param {number} us microseconds since 1970 @returns {string} the day here: `20 Nov` */
export function day(us) {
  return new Date(us / 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

/** @param {number} many */
export function bytes(many) {
  const [unit, name] = many < 1e3 ? [1, "B"] : many < 1e6 ? [1e3, "kB"] : many < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return (unit === 1 ? String(many) : figures(many / Number(unit))) + NARROW + name;
}

/** A change of a share, in points: `+6.2 pt`. @param {number} share from -1 to 1 */
export function points(share) {
  return signed(share * 100) + NARROW + "pt";
}

/** One decimal and a sign, a real minus. @param {number} value */
export function signed(value) {
  const text = Math.abs(value).toFixed(1);
  return text === "0.0" ? text : (value < 0 ? "\u2212" : "+") + text;
}

/** @param {number} us @returns {string} */
export function hours(us) {
  return figures(us / 3600e6) + NARROW + "h";
}

/** A name within a sentence: whatever direction it is written in, the rest keeps its own. @param {string} name */
export function isolated(name) {
  return `\u2068${name}\u2069`;
}

/** `1 span`, `2 spans`. @param {number} many @param {string} word of one */
export function counted(many, word) {
  return `${count(many)} ${word}${many === 1 ? "" : "s"}`;
}
