// SPDX-License-Identifier: Apache-2.0
// The pool's totals over time, drawn by uPlot.

const LINES = [
  ["CPU reserved", "cpu_reserved", "load-6", []],
  ["CPU used", "cpu_used", "load-6", [3, 3]],
  ["Memory reserved", "memory_reserved", "load-4", []],
  ["Memory used", "memory_used", "load-4", [3, 3]],
];

const LEAST_S = 300;

/** Draw every chart of the page, and keep it up to date. */
export function charts() {
  for (const place of document.querySelectorAll("[data-chart]")) new Trend(place);
}

/**
 * uPlot, once its script has come, which may be long after this module; nothing when it never does.
 * Its `load` or `error` cannot be missed: a deferred script ends after the modules that stand before it.
 */
export const library = new Promise((resolve) => {
  const script = document.querySelector("script[data-uplot]");
  if (window.uPlot || !script) resolve(window.uPlot);
  for (const end of ["load", "error"]) script?.addEventListener(end, () => resolve(window.uPlot));
});

/** What a path answers, as JSON; nothing when no answer comes, as while the page is left. */
export async function asked(path) {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function clock(at) {
  const text = new Date(at * 1000).toTimeString();
  return text.slice(0, at % 60 ? 8 : 5);
}

class Trend {
  constructor(place) {
    this.place = place;
    document.addEventListener("billow:map", () => this.later());
    document.addEventListener("billow:theme", () => this.draw());
    new ResizeObserver(() => this.plot?.setSize(this.size)).observe(place);
    this.draw();
  }

  get size() {
    return { width: this.place.clientWidth, height: this.place.clientHeight - 26 };
  }

  later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.draw(), 1500);
  }

  async draw() {
    const [sent, Plot] = await Promise.all([asked(this.place.dataset.chart), library]);
    if (!Plot) this.place.textContent = "The chart cannot be drawn: its script did not come. Load the page again.";
    if (!sent || !Plot) return;
    // Two points at least: of one alone uPlot would make three years.
    if (sent.at.length === 1) for (const [name, column] of Object.entries(sent)) column.unshift(name === "at" ? column[0] - LEAST_S : null);
    const data = [sent.at, ...LINES.map(([, name]) => sent[name])];
    this.plot?.destroy();
    this.plot = new Plot(this.options(sent.at.length), data, this.place);
  }

  options(points) {
    const style = getComputedStyle(this.place);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour("muted"), font: `11px ${style.fontFamily}`, ticks: { show: false } };
    const percent = (value) => (value === null ? "–" : `${Math.round(value * 100)} %`);
    return {
      ...this.size,
      padding: [6, 8, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { range: (_, first, last) => [Math.min(first, last - LEAST_S), last] }, y: { range: [0, 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 22, space: 90, values: (_, all) => all.map(clock) },
        { ...axis, grid: { stroke: colour("line-soft"), width: 1 }, size: 44, values: (_, all) => all.map(percent), splits: [0, 0.5, 1] },
      ],
      series: [
        { value: "{HH}:{mm}:{ss}" },
        ...LINES.map(([label, , name, dash]) => ({
          label, dash, stroke: colour(name), width: 1.6, points: { show: points < 3, size: 5 }, value: (_, value) => percent(value ?? null),
        })),
      ],
    };
  }
}
