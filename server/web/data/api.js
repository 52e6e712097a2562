// @ts-check
// Questions to the server. Trees come as columns; here they get the shape that the views work on.

/** The token of a server beyond loopback stands behind `#` in the address: it goes into no log. */
const token = new URLSearchParams(location.hash.slice(1)).get("token");

/** @typedef {Record<string, string | string[] | number | undefined>} Parameters */

/** @param {string} what @param {Parameters} parameters @param {AbortSignal} [signal] */
function get(what, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) query.append(name, String(one));
  }
  /** @type {Record<string, string>} */ const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return fetch(`/api/v1/${what}?${query}`, { headers, signal });
}

/** Why there is no answer. `status` 0: the server does not answer. */
export class Refusal extends Error {
  /** @param {string} words @param {number} status */
  constructor(words, status) {
    super(words);
    this.status = status;
  }
}

/** @param {string} what @param {Parameters} parameters @param {AbortSignal} [signal] */
export async function ask(what, parameters, signal) {
  const answer = await get(what, parameters, signal).catch(error => { throw signal?.aborted ? error : new Refusal("The server does not answer", 0); });
  const body = await answer.json().catch(error => { throw signal?.aborted ? error : new Refusal("The server does not answer", 0); });
  if (!answer.ok) throw new Refusal(body.error + (body.hint ? `: ${body.hint}` : ""), answer.status >= 502 ? 0 : answer.status);
  return body;
}

/** Saves an answer as a file: a link could not send the token. @param {string} what @param {Parameters} parameters @param {string} name */
export async function save(what, parameters, name) {
  const answer = await get(what, parameters);
  if (!answer.ok) {
    const { error, hint } = await answer.json().catch(() => ({ error: "the server does not answer" }));
    throw new Refusal(error + (hint ? `: ${hint}` : ""), answer.status);
  }
  saveFile(await answer.blob(), name);
}

/** Hands a file to the browser to keep. @param {Blob} file @param {string} name */
export function saveFile(file, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
}

/** A point in time as questions have it. @param {string} us microseconds since 1970 @returns {string} seconds */
export function seconds(us) {
  const digits = us.padStart(7, "0");
  return digits.slice(0, -6) + "." + digits.slice(-6);
}

/** @param {any} body with `split=states` the tree knows them @returns {import("./tree.js").Tree} */
export function tree(body) {
  const { function: func_, depth, total_us, own_us, samples, own_samples, states } = body.nodes, many = depth.length;
  const dense = (/** @type {{node: number[], us: number[]}} */ { node, us }) => {
    const own = new Float64Array(many);
    for (let at = 0; at < node.length; at++) own[node[at]] = us[at];
    return own;
  };
  return {
    functions: body.functions.map(func), func: new Int32Array(func_), depth: new Int32Array(depth), total: new Float64Array(total_us),
    own: new Float64Array(own_us),
    all: body.total_us, seen: body.samples,
    states: states ? Object.keys(states).map(name => ({ name, own: dense(states[name]) })) : null,
    samples: samples ? { own: new Float64Array(own_samples), total: new Float64Array(samples) } : null,
  };
}

/** A function as trees have it. @param {any[]} row @returns {import("./tree.js").Func} */
export function func([name, module, package_, file, path, line, inApp]) {
  return { name, module, package: package_, file, path, line, inApp };
}

/** A function as lists of functions have it. @param {{name: string, module: ?string, package: ?string, file: ?string, path: ?string, line: ?number,
 *  in_app: boolean}} of @returns {import("./tree.js").Func} */
export function funcOf({ in_app, ...rest }) {
  return { ...rest, inApp: in_app };
}
