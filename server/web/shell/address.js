// @ts-check
// What a page shows, as its address says it: whoever is given the address sees the same. Each page has a codec of its fields;
// what is not understood is left out, and only what differs from a new page's is written.

/** How a field stands in an address. @template T
 *  @typedef {{first: T, read: (values: string[]) => T | undefined, write: (value: T) => string[]}} Field */

/** @param {string} [first] @returns {Field<string>} */
export const text = (first = "") => ({ first, read: ([value]) => value, write: value => [value] });

/** `1` in the address. @returns {Field<boolean>} */
export const flag = () => ({ first: false, read: ([value]) => value === "1", write: value => [value ? "1" : "0"] });

/** A whole number that is not negative, as text: microseconds since 1970 are beyond what some tools keep exact. @param {string} [first] @returns {Field<string>} */
export const whole = (first = "") => ({ first, read: ([value]) => /^\d{1,16}$/.test(value) ? value : undefined, write: value => [value] });

/** @template {string} T @param {readonly T[]} of the first is a new page's @returns {Field<T>} */
export const one = of => ({ first: of[0], read: ([value]) => of.find(one => one === value), write: value => [value] });

/** @template T @param {(text: string) => ?T} read @param {(value: T) => string} write @returns {Field<T[]>} */
export const list = (read, write) => ({ first: [], read: values => values.flatMap(value => read(value) ?? []), write: values => values.map(write) });

/** Texts. @returns {Field<string[]>} */
export const texts = () => list(text => text, text => text);

/** @template {Record<string, Field<any>>} F @param {F} fields
 *  @returns {{first: {[K in keyof F]: F[K]["first"]}, read: (search: string) => {[K in keyof F]: F[K]["first"]}, write: (shown: {[K in keyof F]: F[K]["first"]}) => string}} */
export function codec(fields) {
  const names = Object.keys(fields);
  const first = /** @type {any} */ (Object.fromEntries(names.map(name => [name, fields[name].first])));
  return {
    first,
    read: search => {
      const query = new URLSearchParams(search);
      return /** @type {any} */ (Object.fromEntries(names.map(name => {
        const values = query.getAll(name);
        return [name, (values.length > 0 ? fields[name].read(values) : undefined) ?? fields[name].first];
      })));
    },
    write: shown => {
      const query = new URLSearchParams();
      for (const name of names) {
        const values = fields[name].write(shown[name]), usual = fields[name].write(fields[name].first);
        if (values.join("\n") !== usual.join("\n")) values.forEach(value => query.append(name, value));
      }
      const text = query.toString();
      return text === "" ? "" : "?" + text;
    },
  };
}

/** What every page is about, kept on the way from one to another. `from` and `to` as the API takes them: `-1h`, `now`, seconds since 1970. */
export const PLACE = { project: text("1"), env: texts(), release: texts(), instance: texts(), from: text("-1h"), to: text("now") };

/** @typedef {{project: string, env: string[], release: string[], instance: string[], from: string, to: string}} Place */

/** @type {{first: Place, read: (search: string) => Place, write: (place: Place) => string}} */
export const place = codec(PLACE);

/** A place as the parameters of a question. @param {Place} place */
export function asked({ project, env, release, instance, from, to }) {
  return { project, environment: env, release, profiler: instance, from, to };
}

/** @typedef {"services" | "profile" | "compare" | "transactions" | "trace" | "usage" | "refused"} PageName */

/** The address of another page. @param {PageName} page @param {string} search as a codec writes it */
export function addressOf(page, search) {
  return (page === "services" ? "/" : "/" + page) + search + location.hash;
}
