// @ts-check
// The profile of one span, small and in order of time: three rows of frames below what all stacks have in common.

import { Component, createRef, h } from "../vendor/preact.js";
import { bandOf, dotOf } from "../data/colour.js";
import { isDark, onTheme, token } from "../shell/theme.js";

const ROW_PX = 17;
/** A frame is labelled from this width on. */
const LABEL_PX = 36;

/** @extends {Component<{chart: ReturnType<typeof import("./frames.js").frames>}>} */
export class Mini extends Component {
  canvas = createRef();

  componentDidMount() {
    this.offTheme = onTheme(() => this.draw());
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas.current);
  }

  componentDidUpdate() {
    this.draw();
  }

  componentWillUnmount() {
    this.offTheme?.();
    this.observer?.disconnect();
  }

  draw() {
    const canvas = this.canvas.current, { frames, functions } = this.props.chart;
    if (!canvas || canvas.clientWidth === 0) return;
    const ratio = devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    const to = canvas.getContext("2d");
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    to.font = `11px ${getComputedStyle(canvas).fontFamily}`;
    to.textBaseline = "middle";
    for (const { row, begin, end, func } of frames) {
      const x = Math.round(begin * wide), width = Math.max(1, Math.round(end * wide) - x - 1), of = functions[func];
      to.globalAlpha = 0.6;
      to.fillStyle = dotOf(bandOf(of), isDark());
      to.fillRect(x, row * ROW_PX, width, ROW_PX - 1);
      to.globalAlpha = 1;
      if (width < LABEL_PX) continue;
      to.save();
      to.beginPath();
      to.rect(x, row * ROW_PX, width - 3, ROW_PX);
      to.clip();
      to.fillStyle = token("ink");
      to.fillText(of.name.slice(0, 120), x + 5, row * ROW_PX + ROW_PX / 2);
      to.restore();
    }
  }

  render() {
    return h("canvas", { ref: this.canvas });
  }
}
