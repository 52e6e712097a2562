// @ts-check
// Questions to the server. Trees come as columns; here they get the shape that the views work on.

/** The token of a server beyond loopback stands behind `#` in the address: it goes into no log. */
const token = new URLSearchParams(location.hash.slice(1)).get("token");

/** @param {string} what @param {Record<string, string | string[] | number | undefined>} parameters @param {AbortSignal} [signal] */
export async function ask(what, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) query.append(name, String(one));
  }
  /** @type {Record<string, string>} */ const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`/api/v1/${what}?${query}`, { headers, signal });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error + (body.hint ? `: ${body.hint}` : ""));
  return body;
}

/** A point in time as questions have it. @param {string} us microseconds since 1970 @returns {string} seconds */
export function seconds(us) {
  const digits = us.padStart(7, "0");
  return digits.slice(0, -6) + "." + digits.slice(-6);
}

/** @param {any} body @returns {import("./tree.js").Tree} */
export function tree(body) {
  const { function: func_, depth, total_us, own_us } = body.nodes;
  return { functions: body.functions.map(func), func: func_, depth, total: total_us, own: own_us, all: body.total_us, seen: body.samples };
}

/** @param {any[]} row @returns {import("./tree.js").Func} */
function func([name, module, package_, file, path, line, inApp]) {
  return { name, module, package: package_, file, path, line, inApp };
}
