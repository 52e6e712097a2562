// @ts-check
// Frames that are too narrow for a label, by the thousand: as pixels that are put on the canvas at once. To draw each as a
// rectangle takes several times as long as all else together.

/** @param {number[]} rgb bytes @returns {number} as pixels have it */
const pixel = ([r, g, b]) => (0xff000000 | b << 16 | g << 8 | r) >>> 0;

/** A colour under a veil of another. @param {number[]} below @param {number[]} veil @param {number} share how much of it is the veil's */
export const veiled = (below, veil, share) => pixel(below.map((byte, at) => Math.round(byte + (veil[at] - byte) * share)));

export class Pixels {
  constructor() {
    /** @type {?ImageData} */ this.image = null;
    this.words = new Uint32Array();
    /** One line of pixels of a row, and one of the rules along its bottom: all lines of a row are one of these two. */
    this.line = new Uint32Array();
    this.rule = new Uint32Array();
    this.ground = 0;
  }

  /** One colour everywhere. @param {number} wide @param {number} high pixels of the screen @param {number[]} ground */
  clear(wide, high, ground) {
    if (!this.image || this.image.width !== wide || this.image.height !== high) {
      this.image = new ImageData(wide, high);
      this.words = new Uint32Array(this.image.data.buffer);
      this.line = new Uint32Array(wide);
      this.rule = new Uint32Array(wide);
    }
    this.ground = pixel(ground);
    this.words.fill(this.ground);
    this.start();
  }

  /** A new row. */
  start() {
    this.line.fill(this.ground);
    this.rule.fill(this.ground);
  }

  /** A part of the row, within the picture. @param {number} left @param {number} right pixels of the screen @param {number} colour @param {number} rule the colour of its rule */
  span(left, right, colour, rule) {
    const { line, rule: below } = this;
    for (let x = left; x < right; x++) { line[x] = colour; below[x] = rule; }
  }

  /** The row is from `top` until before `bottom`, its rules from `rule` on; what is outside the picture is left out. @param {number} top @param {number} rule @param {number} bottom */
  end(top, rule, bottom) {
    const { words, line, rule: below, image } = this;
    if (!image) return;
    for (let y = Math.max(0, top); y < Math.min(image.height, bottom); y++) words.set(y < rule ? line : below, y * image.width);
  }

  /** @param {CanvasRenderingContext2D} context */
  put(context) {
    if (this.image) context.putImageData(this.image, 0, 0);
  }
}
