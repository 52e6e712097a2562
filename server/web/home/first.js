// @ts-check
// The page before the first profile: three ways to get one, what this machine allows, and outlines of a graph where it will be.

import { Component, h } from "../vendor/preact.js";
import { icon } from "../shell/icons.js";
import { Copy, Message } from "../shell/parts.js";
import { command } from "./words.js";

/** @typedef {{level: "ok" | "warn" | "bad", text: string, fix: ?string}} Check */
/** @typedef {{pid: number, name: string}} Process */
/** @typedef {{status: any, trouble: string, say: (words: string) => void}} Props */

/** Processes that are offered. */
const PROCESSES = 6;
/** Rows of the outlines, and how high one is. */
const ROWS = 14, ROW = 15;
/** Up to here one frame stands on another, as at the root of a graph. */
const TRUNK = 5;

/** @extends {Component<Props, {pid: string}>} */
export class First extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{pid: string}} */ this.state = { pid: "" };
  }

  render() {
    const { status, trouble } = this.props, { machine, listen, projects } = status ?? {}, dsn = projects?.[0]?.dsn;
    /** @type {Process[]} */ const processes = (machine?.processes ?? []).slice(0, PROCESSES);
    const pid = this.state.pid || String(processes[0]?.pid ?? "PID");
    return h("main", { class: "first" }, h(Outlines, {}), h("div", { class: "first-page" },
      h("h1", null, "No profiles yet. Start with one process."),
      h("p", { class: "first-lead" }, h("span", { class: "lamp waits", "aria-hidden": "true" }),
        h("span", null, listen ? ["Listening on ", h("b", { class: "mono" }, listen), ". "] : null, "This page opens the first profile by itself; it comes within about a minute of the start.")),
      trouble ? h(Message, { level: "bad", title: "The server cannot be asked.", text: trouble }) : null,
      h("div", { class: "ways" },
        this.way("A running process", "No restart, no code change. Python, Node.js, and programs in Rust, C, C++ or Go.",
          command(dsn, `--pid ${pid}`), true, this.processes(processes, pid)),
        this.way("A program you start", "From its first line to its exit.", command(dsn, "-- python app.py")),
        dsn ? this.way("An app with a Sentry SDK", "Set this DSN. Profiles, transactions and spans are kept here.", `SENTRY_DSN=${dsn}`) : null),
      h("div", { class: "first-below" }, checks(machine?.checks ?? []),
        h("section", null, h("h2", null, "What may stand in the way"),
          h("p", null, "The doctor looks at a process and says what would prevent or weaken profiling it, and what to do:"), this.box(`sentry-profiled doctor --pid ${pid}`)))));
  }

  /** @param {string} title @param {string} words @param {string} run @param {boolean} [isFirst] @param {import("../vendor/preact.js").Child} [more] */
  way(title, words, run, isFirst = false, more = null) {
    return h("section", null, h("div", null, h("h2", null, title), h("p", null, words)), h("div", null, this.box(run, isFirst), more));
  }

  /** @param {string} run @param {boolean} [isFirst] */
  box(run, isFirst = false) {
    return h("div", { class: "command" }, h(Command, { run }), h(Copy, { text: run, class: isFirst ? "primary" : "", say: this.props.say }));
  }

  /** Those that run, to be put into the command. @param {Process[]} processes @param {string} pid */
  processes(processes, pid) {
    if (processes.length === 0) return null;
    const choose = (/** @type {number} */ of) => {
      this.setState({ pid: String(of) });
      this.props.say(`The command is for ${of} now`);
    };
    return h("p", { class: "first-processes" }, "Running here: ", processes.map(({ pid: of, name }) =>
      h("button", { type: "button", key: of, "aria-pressed": String(String(of) === pid), title: name, onClick: () => choose(of) },
        h("span", null, of), h("bdi", { class: "clip" }, name))));
  }
}

/** What the server found out about its machine. @param {Check[]} checks */
function checks(checks) {
  if (checks.length === 0) return null;
  const level = { ok: "", warn: "Warning: ", bad: "Fault: " };
  return h("section", null, h("h2", null, "This machine"), h("ul", null, checks.map(({ level: how, text, fix }) =>
    h("li", { key: text, class: how }, icon(how === "ok" ? "check" : "warn"),
      h("span", null, h("span", { class: "spoken" }, level[how] ?? ""), text, fix ? [" ", h("code", null, fix)] : null)))));
}

/** A command line; its words are not broken where there is room for them. @param {{run: string}} props */
export function Command({ run }) {
  const at = run.indexOf(" sentry-profiled ");
  return h("code", null, at < 0 ? run : [h("span", null, run.slice(0, at)), " ", h("span", null, run.slice(at + 1))]);
}

/** Where frames of a graph would be: row, left and width in hundredths of the width. They say nothing; they show what will be here. */
function frames() {
  /** @type {[number, number, number][]} */ const all = [];
  let seed = 7;
  const next = () => (seed = seed * 16807 % 2147483647) / 2147483647;
  const grow = (/** @type {number} */ row, /** @type {number} */ left, /** @type {number} */ width) => {
    if (row >= ROWS || width < 0.6) return;
    all.push([row, left, width]);
    const many = row < TRUNK || next() < 0.4 ? 1 : 2 + Math.floor(next() * 2);
    let at = left;
    for (let child = 0; child < many; child++) {
      const share = row < TRUNK ? 0.985 + 0.015 * next() : many === 1 ? 0.6 + 0.4 * next() : (0.5 + next()) / many * 0.9;
      const wide = Math.min(width * share, left + width - at);
      if (row < TRUNK || next() < 0.9) grow(row + 1, at, wide);
      at += wide;
    }
  };
  grow(0, 0, 99.8);
  return all;
}

function Outlines() {
  return h("svg", { class: "outlines", "aria-hidden": "true", focusable: "false", width: "100%", height: ROWS * ROW }, frames().map(([row, left, width], at) =>
    h("rect", { key: at, x: `${left}%`, y: (ROWS - 1 - row) * ROW + 0.5, width: `${width}%`, height: ROW - 2, opacity: 1 - row / (ROWS + 1) })));
}
