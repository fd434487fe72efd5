// SPDX-License-Identifier: Apache-2.0
// The key to a map, and at the same time its distribution: how many hosts have which load, and which state.

import { FULL, MARKS, NOT_SEEN, paintDot } from "./map-paint.js";

const BINS = 40;

/**
 * Fill the legend that belongs to a map: `[data-legend]` holds a canvas and one `[data-mark]` per state.
 * @param {Element} map
 * @param {Record<string, ArrayLike<number>>} columns
 * @param {string} name  The column that is shown.
 * @param {import("./map-paint.js").Palette} palette
 */
export function legend(map, columns, name, palette) {
  const place = map.closest("section")?.querySelector("[data-legend]");
  if (!place) return;
  histogram(place.querySelector("canvas"), columns[name], palette);
  const counts = MARKS.map(() => 0);
  for (const mark of columns.mark) counts[mark] += 1;
  for (const entry of place.querySelectorAll("[data-mark]")) {
    const mark = MARKS.indexOf(entry.dataset.mark);
    glyph(entry.querySelector("canvas"), palette, mark);
    entry.querySelector("[data-count]").textContent = counts[mark].toLocaleString("en");
    entry.hidden = mark > 0 && counts[mark] === 0;
  }
}

function histogram(canvas, steps, palette) {
  const bins = new Array(BINS).fill(0);
  let over = 0;
  for (const step of steps) {
    if (step === NOT_SEEN) continue;
    if (step > FULL) over += 1;
    else bins[Math.min(Math.floor((step / FULL) * BINS), BINS - 1)] += 1;
  }
  const pen = sized(canvas);
  const { clientWidth: wide, clientHeight: high } = canvas;
  const each = wide / (BINS + 2);
  const most = Math.max(...bins, over, 1);
  const ramp = 6;
  [...bins, 0, over].forEach((count, at) => {
    pen.fillStyle = palette.load(at > BINS ? FULL + 1 : ((at + 0.5) / BINS) * FULL);
    if (at === BINS) return;
    pen.fillRect(at * each, high - ramp, each + 0.5, ramp);
    const tall = count ? Math.max((count / most) * (high - ramp - 4), 1.5) : 0;
    pen.fillRect(at * each + 0.5, high - ramp - 2 - tall, each - 1, tall);
  });
}

function glyph(canvas, palette, mark) {
  const pen = sized(canvas);
  paintDot(pen, palette, canvas.clientWidth, mark, mark === MARKS.indexOf("ok") ? 120 : 80);
}

/** Give a canvas as many pixels as it covers, and clear it. */
function sized(canvas) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return pen;
}
