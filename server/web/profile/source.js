// @ts-check
// Links to source code: a template that a person gives, kept in this browser, with {path}, {file} and {line} in it.

import { Component, createRef, h } from "../vendor/preact.js";

const KEY = "source-url";

/** @returns {string} "" for none */
export function template() {
  try { return localStorage.getItem(KEY) ?? ""; } catch { return ""; }
}

/** @param {string} text */
function keep(text) {
  try { if (text) localStorage.setItem(KEY, text); else localStorage.removeItem(KEY); } catch { /* a browser that keeps nothing */ }
}

/** Where a function's source is; `null`: without a template, or where it is no address to go to. @param {string} template
 *  @param {{path: ?string, file: ?string, line: ?number}} func */
export function sourceOf(template, { path, file, line }) {
  if (template === "" || !(path ?? file)) return null;
  const encoded = (/** @type {?string} */ name) => (name ?? "").split("/").map(encodeURIComponent).join("/");
  const filled = template.replaceAll("{path}", encoded(path ?? file)).replaceAll("{file}", encoded(file ?? path)).replaceAll("{line}", String(line ?? 1));
  try {
    const url = new URL(filled);
    return ["javascript:", "data:", "blob:", "vbscript:"].includes(url.protocol) ? null : url.href;
  } catch {
    return null;
  }
}

/** Asks for the template. @extends {Component<{close: () => void}, {text: string}>} */
export class SourceDialog extends Component {
  dialog = createRef();

  /** @param {{close: () => void}} props */
  constructor(props) {
    super(props);
    /** @type {{text: string}} */ this.state = { text: template() };
  }

  componentDidMount() {
    this.dialog.current.showModal();
  }

  render() {
    const { text } = this.state, example = sourceOf(text, { path: "/srv/shop/rules.py", file: "shop/rules.py", line: 61 });
    const set = (/** @type {any} */ event) => { event.preventDefault(); keep(text.trim()); this.dialog.current.close(); };
    return h("dialog", { ref: this.dialog, class: "source", "aria-labelledby": "source-title", onClose: () => this.props.close(),
      onKeyDown: (/** @type {any} */ event) => event.stopPropagation() },
      h("form", { onSubmit: set },
        h("h2", { id: "source-title" }, "Where is the source?"),
        h("p", null, "An address with {file}, as it is shown, or {path}, as it is on the machine, and {line} in it. It is kept in this browser only."),
        h("input", { type: "text", "aria-label": "Address of the source", value: text, placeholder: "https://git.example.org/shop/blob/main/{file}#L{line}",
          onInput: (/** @type {any} */ event) => this.setState({ text: event.currentTarget.value }) }),
        h("p", { class: "hint" }, text === "" ? "For an editor: vscode://file/{path}:{line}" : example ?? "This is no address."),
        h("div", { class: "row" }, h("button", { type: "submit", class: "primary", disabled: text !== "" && !example }, "Keep"),
          h("button", { type: "button", onClick: () => this.dialog.current.close() }, "Cancel"))));
  }
}
