// SPDX-License-Identifier: Apache-2.0
// How a host looks on a map. The load is told twice, by colour and by size; the state by its own glyph.
// Colours come from the style sheet, so that light and dark are decided in one place.

import { blockOf, corner } from "./map-layout.js";

/** @typedef {import("./map-layout.js").Layout} Layout */

export const NOT_SEEN = 255;
export const FULL = 200;
export const MARKS = ["ok", "cordoned", "suspect", "failed", "off", "unknown"];
const LEVELS = 40;
const [OK, CORDONED, SUSPECT, FAILED, OFF, UNKNOWN] = MARKS.keys();

/** Colours of one theme, read from custom properties of an element. */
export class Palette {
  /** @param {Element} element */
  constructor(element) {
    const style = getComputedStyle(element);
    const read = (name) => style.getPropertyValue(name).trim();
    this.ramp = Array.from({ length: 9 }, (_, stop) => channels(read(`--load-${stop}`)));
    for (const name of ["slot", "ink", "muted", "faint", "hot", "warn", "surface", "accent"]) {
      this[name] = read(`--${name}`);
    }
    this.font = style.fontFamily;
  }

  /** Return the colour of a share in half percents. */
  load(step) {
    if (step > FULL) return this.hot;
    const at = (step / FULL) * (this.ramp.length - 1);
    const low = Math.min(Math.floor(at), this.ramp.length - 2);
    const mix = this.ramp[low].map((from, c) => Math.round(from + (this.ramp[low + 1][c] - from) * (at - low)));
    return `rgb(${mix.join(" ")})`;
  }

  /** Return whether dark text reads better on a share's colour. */
  isBright(step) {
    const [r, g, b] = this.load(Math.min(step, FULL)).match(/\d+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b > 140;
  }
}

function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** Draws cells; equal cells are drawn once and copied. */
export class Painter {
  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Layout} layout
   * @param {Palette} palette
   * @param {number} scale  Device pixels per CSS pixel.
   */
  constructor(context, layout, palette, scale) {
    Object.assign(this, { context, layout, palette, scale });
    this.sprites = new Map();
  }

  labels() {
    const { context, palette } = this;
    for (const label of this.layout.labels) {
      context.font = `${label.zone ? 600 : 400} ${label.zone ? 11 : 10}px ${palette.font}`;
      context.fillStyle = label.zone ? palette.ink : palette.muted;
      context.fillText(fitted(context, label.text, label.width), label.x, label.y);
    }
  }

  /** Draw the cell at a place. @param {string} name */
  cell(place, mark, step, name) {
    const at = corner(this.layout, blockOf(this.layout, place), place);
    if (this.layout.tile) {
      this.#tile(at, mark, step, name);
      return;
    }
    const { w, h } = this.layout.cell;
    const sprite = this.#sprite(mark, step);
    this.context.drawImage(sprite, at.x, at.y, w, h);
  }

  #sprite(mark, step) {
    const level = step === NOT_SEEN ? LEVELS + 2 : step > FULL ? LEVELS + 1 : Math.round((step / FULL) * LEVELS);
    const key = mark * 64 + level;
    let sprite = this.sprites.get(key);
    if (!sprite) {
      const { w, h } = this.layout.cell;
      sprite = new OffscreenCanvas(Math.ceil(w * this.scale), Math.ceil(h * this.scale));
      const pen = sprite.getContext("2d");
      pen.scale(this.scale, this.scale);
      paintDot(pen, this.palette, w, mark, step);
      this.sprites.set(key, sprite);
    }
    return sprite;
  }

  #tile(at, mark, step, name) {
    const { context: pen, palette } = this;
    const { w, h } = this.layout.cell;
    pen.save();
    pen.translate(at.x, at.y);
    box(pen, 0, 0, w, h, 5, palette.slot);
    const shown = step === NOT_SEEN || mark === OFF ? 0 : Math.min(step, FULL) / FULL;
    const bar = { x: 10, y: h - 16, w: w - 20, h: 6 };
    box(pen, bar.x, bar.y, bar.w, bar.h, 3, palette.faint);
    if (shown > 0) box(pen, bar.x, bar.y, Math.max(bar.w * shown, 3), bar.h, 3, palette.load(step));
    pen.fillStyle = palette.muted;
    pen.font = `500 12px ${palette.font}`;
    const figure = step === NOT_SEEN ? "–" : `${Math.round(step / 2)} %`;
    const word = mark === OK ? figure : MARKS[mark];
    const wide = pen.measureText(word).width;
    pen.fillText(word, w - 10 - wide, 22);
    pen.fillStyle = palette.ink;
    pen.font = `600 12px ${palette.font}`;
    const room = w - 30 - wide - (mark === OK ? 0 : 14);
    pen.fillText(fitted(pen, name, room), 10, 22);
    if (mark !== OK) {
      pen.translate(w - 10 - wide - 16, 11);
      paintGlyph(pen, palette, 13, mark);
    }
    pen.restore();
  }
}

/** Draw one dot of a given size at the origin. */
export function paintDot(pen, palette, size, mark, step) {
  const round = Math.min(size * 0.22, 4);
  box(pen, 0, 0, size, size, round, palette.slot);
  if (mark !== OFF && step !== NOT_SEEN) {
    const side = size * (0.3 + 0.7 * Math.sqrt(Math.min(step, FULL) / FULL));
    const inset = (size - side) / 2;
    box(pen, inset, inset, side, side, Math.min(side * 0.22, 4), palette.load(step));
  } else if (mark === OK) {
    box(pen, size * 0.3, size * 0.44, size * 0.4, Math.max(size * 0.12, 1), 0, palette.muted);
  }
  if (mark !== OK) paintGlyph(pen, palette, size, mark);
}

/** Draw what a state looks like, over whatever is there. */
function paintGlyph(pen, palette, size, mark) {
  const low = size * 0.2;
  const high = size * 0.8;
  pen.lineWidth = Math.max(size * 0.13, 1.1);
  pen.lineCap = "round";
  if (mark === FAILED) {
    box(pen, 0, 0, size, size, Math.min(size * 0.22, 4), palette.surface);
    stroke(pen, palette.hot, [[low, low, high, high], [high, low, low, high]]);
  } else if (mark === OFF) {
    pen.strokeStyle = palette.muted;
    pen.strokeRect(low, low, high - low, high - low);
  } else if (mark === CORDONED) {
    stroke(pen, palette.surface, [[0, size, size, 0]], size * 0.36);
    stroke(pen, palette.ink, [[low / 2, size - low / 2, size - low / 2, low / 2]]);
  } else if (mark === SUSPECT) {
    triangle(pen, palette, size);
  } else if (mark === UNKNOWN) {
    box(pen, 0, 0, size, size, Math.min(size * 0.22, 4), palette.slot);
    stroke(pen, palette.muted, [[low, size / 2, low, size / 2], [high, size / 2, high, size / 2]]);
  }
}

function triangle(pen, palette, size) {
  pen.beginPath();
  pen.moveTo(size * 0.5, size * 0.06);
  pen.lineTo(size * 0.98, size * 0.94);
  pen.lineTo(size * 0.02, size * 0.94);
  pen.closePath();
  pen.fillStyle = palette.warn;
  pen.fill();
  pen.strokeStyle = palette.surface;
  pen.lineWidth = Math.max(size * 0.07, 0.7);
  pen.stroke();
}

function stroke(pen, colour, lines, width = pen.lineWidth) {
  pen.save();
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  for (const [x1, y1, x2, y2] of lines) {
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
  }
  pen.restore();
}

function box(pen, x, y, w, h, round, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, w, h, round);
  pen.fill();
}

/** Shorten a text with an ellipsis until it fits. */
export function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  const letters = [...text];
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(`${letters.slice(0, middle).join("")}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return `${letters.slice(0, low).join("")}…`;
}
