// @ts-check
// A graph of frames in the page: the whole in miniature, the canvas, and what is said of the frame under the pointer.

import { colouring, Flame } from "./flame.js";
import { Minimap } from "./minimap.js";
import { sceneOf } from "../data/scene.js";
import { kept } from "../shell/parts.js";
import { Component, createRef, h } from "../vendor/preact.js";

/** @typedef {import("../data/tree.js").Tree} Tree */
/** @typedef {import("../data/scene.js").Scene} Scene */
/** `chosen` is a function's key, "" for none. What is left out works by itself: then the graph keeps `frame`, the selected one, and `zoom` (both as `frameOf` calls
 *  them); has no menu; and leaves the letter keys to whom they reach. `colours` of nodes by theme, where `mode` does not say it; `shares`, what stands at the right of
 *  frames instead of percentages; `more`, a line of the tip: `shares` beside `colours` are a change, and said there, too. `fold` folds the trunk. `scene` in place of a tree's: a chart's. `pointed` is the key of a function that is pointed at elsewhere.
 *  `head` stands above the canvas, `quiet` goes without the miniature.
 *  @typedef {{title: string, tree: Tree, hits: ?Uint8Array, chosen: string, select: (key: string, frame: string) => void, frame?: string, zoom?: string,
 *  onZoom?: (frame: string) => void, mode?: import("../data/colour.js").Mode, colours?: (isDark: boolean) => import("../data/colour.js").Colours, shares?: (node: number) => string, more?: (node: number) => [string, string],
 *  fold?: boolean, scene?: Scene, pointed?: string, onPoint?: (key: string) => void, menu?: (at: import("./flame.js").MenuAt) => void,
 *  act?: (name: import("./flame.js").Act, key: string, node: number) => boolean | void, onView?: (from: number, to: number) => void, quiet?: boolean, words?: string, head?: import("../vendor/preact.js").Child, up?: boolean, flip?: () => void}} Props */

/** @extends {Component<Props, {frame: string, zoom: string, isUp: boolean}>} */
export class Graph extends Component {
  canvas = createRef();
  mini = createRef();
  tip = createRef();
  /** @type {?Flame} */ flame = null;
  /** @type {?Minimap} */ minimap = null;

  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {{frame: string, zoom: string, isUp: boolean}} */ this.state = { frame: "", zoom: "", isUp: false };
    this.scene = kept((/** @type {Tree} */ tree, /** @type {boolean} */ fold) => sceneOf(tree, fold));
    this.colouring = kept((/** @type {Tree} */ tree, /** @type {import("../data/colour.js").Mode} */ mode) => colouring(tree, mode));
  }

  componentDidMount() {
    this.flame = new Flame(this.canvas.current, this.tip.current, {
      select: (key, frame) => { this.setState({ frame }); this.props.select(key, frame); },
      zoom: zoom => { this.setState({ zoom }); this.props.onZoom?.(zoom); },
      menu: at => this.props.menu?.(at),
      act: (name, key, node) => this.props.act ? this.props.act(name, key, node) : false,
      point: key => this.props.onPoint?.(key),
      flip: () => this.props.flip ? this.props.flip() : this.setState({ isUp: !this.state.isUp }),
      view: (from, to) => this.viewed(from, to),
    });
    if (this.mini.current) this.minimap = new Minimap(this.mini.current, (from, to, isAll) => { if (isAll) this.flame?.zoomTo(-1); else this.flame?.take(from, to); });
    this.componentDidUpdate();
  }

  componentWillUnmount() {
    this.flame?.end();
    this.minimap?.end();
  }

  /** Selects the next frame that the search finds, or the one before. @param {1 | -1} way */
  next(way) {
    this.flame?.next(way);
  }

  componentDidUpdate() {
    const { tree, hits, chosen, frame, zoom, colours, mode = "kind", shares, more, fold = false, scene, pointed = "" } = this.props;
    this.flame?.show({
      scene: scene ?? this.scene(tree, fold), hits, chosen, frame: frame ?? this.state.frame, zoom: zoom ?? this.state.zoom, pointed, colours: colours ?? this.colouring(tree, mode),
      shares: shares ?? null, more: more ?? (shares && colours ? node => ["Change", shares(node)] : null), isUp: this.props.up ?? this.state.isUp,
    });
  }

  /** The graph was drawn. @param {number} from @param {number} to */
  viewed(from, to) {
    const { flame, minimap } = this;
    if (flame?.shown && flame.colours) minimap?.show({ scene: flame.shown.scene, colours: flame.colours, hits: flame.shown.hits, hitsBefore: flame.hitsBefore, selected: flame.selected, from, to });
    this.props.onView?.(from, to);
  }

  render() {
    const { title, quiet, words, head } = this.props;
    return h("div", { class: "graph" },
      quiet ? null : h("canvas", { key: "mini", ref: this.mini, class: "minimap", "aria-hidden": "true" }),
      head,
      h("div", { key: "stage", class: "stage" },
        h("canvas", {
          ref: this.canvas, tabIndex: 0, role: "application", "aria-roledescription": words ?? "flame graph",
          "aria-label": `${title}: arrows move, Enter zooms, Escape goes back; the functions are in the table view, too`,
        }),
        h("div", { ref: this.tip, class: "tip" })));
  }
}
