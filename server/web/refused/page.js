// @ts-check
// What was sent and not taken, and why.

import { Component, h } from "../vendor/preact.js";
import { ask } from "../data/api.js";
import { bytes, clock, count, day } from "../data/format.js";
import { PLACE, codec, one } from "../shell/address.js";
import { Choice, Loading, Message, Nothing } from "../shell/parts.js";

/** @typedef {import("../shell/app.js").PageProps} Props */
/** @typedef {{project: number, at_us: number, item: string, reason: string, detail: string, client: string, head: string, bytes: number}} Refused */
/** @typedef {{refused: ?Refused[], projects: [string, string][], trouble: string}} State */

const LIMITS = /** @type {const} */ (["200", "1000", "10000"]);
const address = codec({ ...PLACE, limit: one(LIMITS) });

/** @extends {Component<Props, State>} */
export default class RefusedItems extends Component {
  asking = new AbortController();

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */ this.state = { refused: null, projects: [], trouble: "" };
  }

  componentDidMount() {
    this.refresh();
    this.name();
  }

  /** The projects that the server takes anything of, and those of which something is kept. */
  async name() {
    const [{ projects }, status] = await Promise.all([ask("projects", {}).catch(() => ({ projects: [] })), ask("status", {}).catch(() => null)]);
    const named = new Map((status?.projects ?? []).map((/** @type {any} */ { id, name }) => [String(id), name]));
    this.setState({ projects: [...new Set([...named.keys(), ...projects.map(String)])].map(id => [id, named.get(id) ?? `project ${id}`]) });
  }

  componentWillUnmount() {
    this.asking.abort();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    if (before.search !== this.props.search) this.refresh();
  }

  async refresh() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking, { project, limit } = address.read(this.props.search);
    try {
      const { refused } = await ask("refused", { project, limit }, signal);
      this.setState({ refused, trouble: "" });
    } catch (error) {
      if (!signal.aborted) this.setState({ trouble: error instanceof Error ? error.message : String(error) });
    }
  }

  render() {
    const { refused, projects, trouble } = this.state, shown = address.read(this.props.search), ask = () => { this.refresh(); };
    const set = (/** @type {Partial<typeof shown>} */ change) => this.props.go("refused", address.write({ ...shown, ...change }));
    return [
      h("main", { key: "main", class: "refused" },
        h("div", { class: "refused-head" }, h("h1", null, "Refused items"), h("p", null, "What was sent to this server and not taken, and why. The newest first."),
          h(Choice, { name: "Project", chosen: shown.project, options: projects, choose: project => set({ project }) }),
          h("button", { type: "button", onClick: ask }, "Ask again")),
        trouble ? h(Message, { level: "bad", title: "This cannot be asked.", text: trouble, action: { text: "Try now", act: ask } }) : null,
        !refused ? trouble ? null : h(Loading, { words: "Asking" }) : refused.length > 0 ? table(refused)
          : h(Nothing, { title: "Nothing was refused", text: "Everything that was sent to this project since the server keeps count was taken." })),
      h("footer", { key: "count", "aria-label": "How many" }, refused ? many(refused.length, shown.limit, limit => set({ limit })) : h("span", null, "…")),
    ];
  }
}

/** How many are shown, and more of them. @param {number} shown @param {typeof LIMITS[number]} limit @param {(limit: typeof LIMITS[number]) => void} choose */
function many(shown, limit, choose) {
  const isCut = shown >= Number(limit), next = LIMITS[LIMITS.indexOf(limit) + 1];
  return h("span", null, h("b", null, count(shown)), isCut ? " newest are shown" : shown === 1 ? " item" : " items",
    isCut && next ? [" ", h("button", { type: "button", class: "link more-rows", onClick: () => choose(next) }, "show more")] : null);
}

/** @type {[string, string][]} */
const COLUMNS = [
  ["When", "r-when"], ["Item", "r-item"], ["Reason", "r-reason"], ["Detail", "r-detail"], ["Client", "r-client"], ["Size", "r-bytes"], ["First bytes", "r-head"],
];

/** @param {Refused[]} refused */
function table(refused) {
  const words = (/** @type {string} */ text, more = "") => h("td", { class: more, title: text }, h("bdi", null, text));
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Refused items" }, h("table", null,
    h("colgroup", null, COLUMNS.map(([, name]) => h("col", { key: name, class: name }))),
    h("thead", null, h("tr", null, COLUMNS.map(([text]) => h("th", { key: text, scope: "col", class: text === "Size" ? "figure" : "" }, text)))),
    h("tbody", null, refused.map(({ at_us, item, reason, detail, client, bytes: size, head }, at) => h("tr", { key: at },
      h("td", null, `${day(at_us)} ${clock(at_us)}`), words(item), words(reason, "mono"), words(detail), words(client),
      h("td", { class: "figure" }, bytes(size)), words(visible(head), "mono"))))));
}

/** Control characters, and marks that turn the direction of text, as what they are. @param {string} text */
function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
