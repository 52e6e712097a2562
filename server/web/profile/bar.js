// @ts-check
// Whose profiles are shown: service, environment, release, instances; and what can be done with all of it: compare, export, pass on.

import { h } from "../vendor/preact.js";
import { save } from "../data/api.js";
import { count, duration } from "../data/format.js";
import { programOf, version } from "../data/services.js";
import { icon } from "../shell/icons.js";
import { Choice, chip, Menu, Switch } from "../shell/parts.js";
import { secondsOf } from "../shell/time.js";
import { Picker } from "./threads.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("../data/services.js").Session} Session */

/** The sessions of the services that an address is about, whatever release and instances it chose of them; and those that it chose.
 *  @param {Session[]} sessions @param {Shown} shown */
export function chosenOf(sessions, shown) {
  const inPlace = sessions.filter(({ environment }) => shown.env.length === 0 || shown.env.includes(environment ?? ""));
  const isIn = (/** @type {Session} */ { release, profiler_id }) =>
    (shown.release.length === 0 || shown.release.includes(release ?? ""))
      && (shown.instance.length === 0 || shown.instance.some(id => plain(id) === plain(profiler_id)));
  const chosen = inPlace.filter(isIn), programs = new Set(chosen.map(programOf));
  return { all: shown.release.length + shown.instance.length === 0 ? inPlace : inPlace.filter(session => programs.has(programOf(session))), chosen,
    programs: [...programs] };
}

/** @param {string} id of a session, with or without hyphens */
const plain = id => id.replaceAll("-", "").toLowerCase();

/** @type {[string, string, string, Record<string, string>][]} */
const FORMATS = [
  ["Collapsed stacks", "txt", "collapsed.txt", { format: "collapsed" }], ["speedscope", "json", "speedscope.json", { format: "speedscope" }],
  ["speedscope, in order of time", "json", "speedscope-time.json", { format: "speedscope", view: "timeline" }],
  ["pprof", "pb.gz", "pprof.pb.gz", { format: "pprof" }],
  ["Firefox Profiler", "json", "firefox.json", { format: "firefox" }],
  ["Firefox Profiler, in order of time", "json", "firefox-time.json", { format: "firefox", view: "timeline" }],
  ["Sentry's chunks, sample format v2", "ndjson", "sentry.ndjson", { format: "sentry" }],
];

/** @typedef {{shown: Shown, sessions: Session[], selected: import("../data/api.js").Parameters, span: ?{from_us: number, to_us: number}, link: () => string,
 *  marks: {kind: string, name: string, count: number, total_us: number}[],
 *  change: (change: Partial<Shown>) => void, compare: (search: string) => void, say: (words: string) => void, trouble: (words: string) => void}} Props */

/** @param {Props} props */
export function Bar(props) {
  const { shown, sessions, change, say, link } = props, { all, chosen, programs } = chosenOf(sessions, shown);
  const environments = new Set(chosen.map(({ environment }) => environment ?? "")), releases = [...new Set(all.map(({ release }) => release ?? ""))];
  const copy = () => navigator.clipboard.writeText(link()).then(() => say("Link copied"),
    () => props.trouble("The browser does not allow copying: copy the address instead."));
  return h("div", { class: "context" },
    h("h1", { class: "clip", title: programs.join(", ") }, sessions.length === 0 ? "Profile" : programs.length === 1 ? programs[0] : programs.length === 0
      ? "Not seen in this span" : `${programs.length} services`),
    [...environments].slice(0, 3).map(name => h("span", { key: name }, chip(name || "no environment"))),
    releases.length > 0 ? h(Choice, {
      name: "Release", class: "quiet-select", chosen: shown.release.length === 1 ? shown.release[0] : shown.release.length === 0 ? "*" : "…",
      options: [...shown.release.length > 1 ? /** @type {[string, string][]} */ ([["…", `${shown.release.length} releases`]]) : [],
        ["*", releases.length === 1 ? `release ${version(releases[0]) || "not named"}` : `all ${releases.length} releases`],
        ...releases.length > 1 || shown.release.length > 0 ? releases.map(release =>
          /** @type {[string, string]} */ ([release, `release ${version(release) || "not named"}`])) : []],
      choose: release => change({ release: release === "*" ? [] : release === "…" ? shown.release : [release], instance: [], tid: [] }),
    }) : null,
    instances(props, all, chosen),
    marks(props),
    h("span", { class: "push" }),
    h(Switch, { name: "Clock", chosen: shown.clock, options: [["wall", "Wall clock"], ["cpu", "On CPU"]],
      choose: clock => change({ clock: clock === "cpu" ? "cpu" : "wall" }) }),
    h(Menu, { name: "Compare with…", class: "compare-menu", right: true, label: [icon("compare"), "Compare with…"], arrow: false,
      entries: () => comparisons(props, all) }),
    h(Menu, { name: "Export", right: true, label: [icon("export"), "Export"], entries: () => exports(props) }),
    h("button", { type: "button", class: "square", "aria-label": "Copy link", title: "Copy a link to what is shown", onClick: copy }, icon("link")));
}

/** @param {Props} props @param {Session[]} all @param {Session[]} chosen */
function instances({ shown, change }, all, chosen) {
  const ids = [...new Set(all.map(({ profiler_id }) => profiler_id))], many = new Set(chosen.map(({ profiler_id }) => profiler_id)).size;
  const of = (/** @type {string} */ id) => all.filter(({ profiler_id }) => profiler_id === id);
  const option = (/** @type {string} */ id) => {
    const [{ host, pid, sdk, executable }] = of(id), figure = of(id).reduce((sum, { samples }) => sum + samples, 0);
    return { id, text: [executable?.split("/").pop() ?? sdk[0], pid].filter(Boolean).join(" "), more: [host, id.slice(0, 8)].filter(Boolean).join(" · "), figure,
      share: figure };
  };
  // SDKs begin a session of the profiler for each trace; only our agent says of which process.
  const word = all.every(({ pid }) => pid !== null) ? "instance" : "session";
  return h(Picker, {
    name: "Instances", label: [`${count(many)} of ${count(ids.length)} ${word}${ids.length === 1 ? "" : "s"}`, icon("down")], all: `All ${word}s`,
    figureOf: "samples", hint: "Space adds one, Enter shows only it",
    options: ids.map(option).sort((a, b) => b.figure - a.figure), chosen: shown.instance.map(id => ids.find(known => plain(known) === plain(id)) ?? id),
    choose: instance => change({ instance, tid: [] }),
  });
}

/** What programs noted, if any did: a function or block, within which alone is looked then. @param {Props} props */
function marks({ shown, marks, change }) {
  const known = marks.map(({ name }) => name), options = marks.map(({ kind, name, count: many, total_us }) =>
    ({ id: name, text: name, more: `${kind}, ${count(many)} times`, figure: total_us, share: total_us }));
  if (options.length === 0 && shown.mk.length === 0) return null;
  for (const name of shown.mk) if (!known.includes(name)) options.push({ id: name, text: name, more: "not here", figure: 0, share: 0 });
  const label = shown.mk.length === 0 ? "All code" : shown.mk.length === 1 ? `In ${shown.mk[0]}` : `In ${count(shown.mk.length)} marks`;
  return h(Picker, {
    name: "Functions and blocks", label: [label, icon("down")], all: "All code", figureOf: "time in it", hint: "Space adds one, Enter shows only it", options,
    chosen: shown.mk, choose: mk => change({ mk }), shownAs: duration,
  });
}

/** The window before this one, and the release before: `/compare` takes this window as B and names those of A with `a_`. @param {Props} props
 *  @param {Session[]} all
 *  @returns {import("../shell/parts.js").Entry[]} */
function comparisons({ shown, span, compare }, all) {
  const from = shown.w0 ? Number(shown.w0) / 1e6 : span ? span.from_us / 1e6 : secondsOf(shown.from),
    to = shown.w1 ? Number(shown.w1) / 1e6 : span ? span.to_us / 1e6 : secondsOf(shown.to);
  /** @type {Map<string, number>} */ const first = new Map();
  for (const { release, first_us } of all) if (release) first.set(release, Math.min(first_us, first.get(release) ?? Infinity));
  const releases = [...first].sort((a, b) => b[1] - a[1]).map(([release]) => release), now = shown.release.length === 1 ? shown.release[0] : releases[0],
    before = releases[releases.indexOf(now) + 1];
  const ids = (/** @type {string} */ of) => shown.instance.length === 0 ? []
    : [...new Set(all.filter(({ release }) => release === of).map(({ profiler_id }) => profiler_id))].slice(0, 50);
  const address = (/** @type {Partial<Record<"from" | "to" | "a_from" | "a_to", number>> & {release: string[], a_release: string[], instance: string[], a_instance: string[]}} */ of) => {
    const query = new URLSearchParams({ project: shown.project });
    for (const env of shown.env) { query.append("env", env); query.append("a_env", env); }
    for (const [name, value] of Object.entries(of)) for (const one of Array.isArray(value) ? value : [value.toFixed(6)]) query.append(name, one);
    return "?" + query;
  };
  const same = { release: shown.release, a_release: shown.release, instance: shown.instance, a_instance: shown.instance };
  return [
    { text: "The window before", more: duration((to - from) * 1e6), act: () => compare(address({ from, to, a_from: 2 * from - to, a_to: from, ...same })) },
    { text: "The release before", more: before ? version(before) : "none in this span", disabled: !before,
      act: () => compare(address({ from, to, a_from: from, a_to: to, release: [now], a_release: [before], instance: ids(now), a_instance: ids(before) })) },
  ];
}

/** @param {Props} props @returns {import("../shell/parts.js").Entry[]} */
function exports({ selected, shown, say, trouble }) {
  const take = async (/** @type {string} */ name, /** @type {Record<string, string>} */ format) => {
    say("Export begins");
    await save("export", { ...selected, ...format }, `profile-${name}`).then(() => say("Export is saved"), error => trouble(`No export: ${error.message}`));
  };
  return [
    { text: shown.fx.length > 0 ? "What is selected; transforms are left out" : "What is selected" },
    ...FORMATS.map(([text, more, name, format]) => ({ text, more: "." + more, act: () => { take(name, format); } })),
  ];
}
