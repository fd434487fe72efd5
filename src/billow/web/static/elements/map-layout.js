// SPDX-License-Identifier: Apache-2.0
// Where each host stands on a map: racks as blocks, zones as sections, cells as large as the space allows.
// It only computes; it knows neither the page nor the canvas.

/**
 * @typedef {{counts: number[], zones: string[], racks: string[]}} Racks  One entry per rack, zone by zone.
 * @typedef {{x: number, y: number, rows: number, first: number, count: number, rack: number}} Block
 * @typedef {{x: number, y: number, text: string, zone: boolean, width: number}} Label
 * @typedef {{cell: {w: number, h: number}, gap: number, tile: boolean, width: number, height: number,
 *            blocks: Block[], labels: Label[]}} Layout
 */

const TILE = { w: 148, h: 54 };
const TILES_AT_MOST = 64;
const SMALLEST = 5;
const LARGEST = 26;
const ZONE_LABEL = 19;
const RACK_LABEL = 15;
const NARROWEST_LABEL = 26;
const NARROWEST_LABELLED = 11;

/**
 * Arrange racks in a width, if possible within a height.
 * @param {Racks} racks
 * @param {number} width
 * @param {number} height
 * @returns {Layout}
 */
export function arrange(racks, width, height) {
  const total = racks.counts.reduce((sum, count) => sum + count, 0);
  if (total <= TILES_AT_MOST) {
    return place(racks, width, { cell: TILE, gap: 6, depth: 1, tile: true });
  }
  const deepest = Math.max(...racks.counts);
  for (let size = LARGEST; size > SMALLEST; size -= 1) {
    const best = shallowest(racks, width, size, deepest);
    if (best.height <= height) return best;
  }
  return shallowest(racks, width, SMALLEST, deepest);
}

/** Try several rack depths at one cell size; return the layout that needs the least height. */
function shallowest(racks, width, size, deepest) {
  const depths = [...new Set([4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48].map((d) => Math.min(d, deepest)))];
  const style = { cell: { w: size, h: size }, gap: size > 12 ? 2 : 1, tile: false };
  return depths
    .map((depth) => place(racks, width, { ...style, depth }))
    .reduce((best, next) => (next.height < best.height ? next : best));
}

/**
 * @param {Racks} racks
 * @param {number} width
 * @param {{cell: {w: number, h: number}, gap: number, depth: number, tile: boolean}} style
 * @returns {Layout}
 */
function place(racks, width, style) {
  const pen = new Pen(width, style, racks.counts.length);
  let first = 0;
  racks.counts.forEach((count, rack) => {
    const zone = racks.zones[rack];
    if (rack === 0 || zone !== racks.zones[rack - 1]) pen.zone(zone);
    pen.rack(racks.racks[rack], rack, first, count);
    first += count;
  });
  return pen.done();
}

/** Writes blocks from left to right and from top to bottom. */
class Pen {
  constructor(width, style, racks) {
    Object.assign(this, { width, ...style });
    this.stepX = style.cell.w + style.gap;
    this.stepY = style.cell.h + style.gap;
    this.between = style.tile ? 14 : Math.max(3, Math.round(style.cell.w * 0.55));
    this.labelled = racks > 1 && (style.tile || style.cell.w >= NARROWEST_LABELLED);
    this.blocks = [];
    this.labels = [];
    this.x = 0;
    this.y = 0;
    this.lineHeight = 0;
  }

  #blockWidth(count) {
    return this.tile
      ? Math.min(count, this.#across()) * this.stepX
      : Math.ceil(count / this.depth) * this.stepX;
  }

  #across() {
    return Math.max(1, Math.floor((this.width + this.gap) / this.stepX));
  }

  zone(name) {
    this.#newLine();
    if (!name) return;
    this.labels.push({ x: 0, y: this.y + 12, text: name, zone: true, width: this.width });
    this.y += ZONE_LABEL;
  }

  rack(name, rack, first, count) {
    const rows = this.tile ? Math.ceil(count / this.#across()) : Math.min(count, this.depth);
    const wide = this.#blockWidth(count) - this.gap;
    if (this.x > 0 && this.x + wide > this.width) this.#newLine();
    const top = this.y + (this.labelled ? RACK_LABEL : 0);
    if (this.labelled && wide >= NARROWEST_LABEL) {
      this.labels.push({ x: this.x, y: this.y + 10, text: name || "no rack", zone: false, width: wide });
    }
    this.blocks.push({ x: this.x, y: top, rows, first, count, rack });
    this.x += wide + this.between;
    this.lineHeight = Math.max(this.lineHeight, top - this.y + rows * this.stepY - this.gap);
  }

  #newLine() {
    if (this.lineHeight) this.y += this.lineHeight + this.between;
    this.x = 0;
    this.lineHeight = 0;
  }

  done() {
    this.#newLine();
    const { cell, gap, tile, width, blocks, labels } = this;
    return { cell, gap, tile, width, height: Math.max(this.y - this.between, 0) + 1, blocks, labels };
  }
}

/**
 * Return where a host's cell begins.
 * @param {Layout} layout
 * @param {Block} block
 * @param {number} place  The host's place in map order.
 */
export function corner(layout, block, place) {
  const within = place - block.first;
  const column = Math.floor(within / block.rows);
  const row = within % block.rows;
  return {
    x: block.x + column * (layout.cell.w + layout.gap),
    y: block.y + row * (layout.cell.h + layout.gap),
  };
}

/** Return the block that holds a place; blocks are in the order of places. */
export function blockOf(layout, place) {
  let low = 0;
  let high = layout.blocks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layout.blocks[middle].first <= place) low = middle;
    else high = middle - 1;
  }
  return layout.blocks[low];
}

/** Return the place of the host under a point, or -1. */
export function placeAt(layout, x, y) {
  const stepX = layout.cell.w + layout.gap;
  const stepY = layout.cell.h + layout.gap;
  for (const block of layout.blocks) {
    const row = Math.floor((y - block.y) / stepY);
    if (row < 0 || row >= block.rows || x < block.x) continue;
    const within = Math.floor((x - block.x) / stepX) * block.rows + row;
    if (within < block.count) return block.first + within;
  }
  return -1;
}
