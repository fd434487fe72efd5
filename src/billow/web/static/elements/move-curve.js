// SPDX-License-Identifier: Apache-2.0
// <move-curve migration="ID" name="INSTANCE" open>: how a live migration goes or went, drawn by uPlot.
// It asks for its points when it is opened, and takes each new one from the page's stream.

import { asked, library } from "../trend.js";

const COLOURS = ["load-6", "load-4", "warn", "good"];
const DRAW_EVERY_MS = 500;

class MoveCurve extends HTMLElement {
  connectedCallback() {
    this.heard = new AbortController();
    const { signal } = this.heard;
    document.addEventListener("billow:progress", ({ detail }) => this.hear(detail), { signal });
    document.addEventListener("billow:theme", () => this.draw(), { signal });
    this.seen = new ResizeObserver(() => this.resize());
    this.seen.observe(this);
    if (this.button) return;
    this.button = this.appendChild(Object.assign(document.createElement("button"), { type: "button" }));
    this.button.addEventListener("click", () => this.toggle());
    this.toggle(this.hasAttribute("open"));
  }

  disconnectedCallback() {
    this.heard.abort();
    this.seen.disconnect();
  }

  /** Show the curve, or put it away. */
  async toggle(wanted = !this.shown) {
    this.shown = wanted;
    this.button.textContent = wanted ? "Hide the curve" : "Curve";
    this.button.ariaExpanded = String(wanted);
    this.button.ariaLabel = `${this.button.textContent} of ${this.getAttribute("name")}`;
    if (!wanted) return this.clear();
    const path = `/migrations/${encodeURIComponent(this.getAttribute("migration"))}/curve.json`;
    this.points = (await asked(path)) ?? [];
    return this.draw();
  }

  hear({ action, flow }) {
    if (!flow || action !== this.getAttribute("migration")) return;
    document.dispatchEvent(new CustomEvent("billow:move"));
    if (!this.shown || !this.points || flow.seconds <= (this.points.at(-1)?.seconds ?? -1)) return;
    this.points.push(flow);
    this.waiting ??= setTimeout(() => this.draw(), DRAW_EVERY_MS);
  }

  clear() {
    for (const plot of this.plots ?? []) plot.destroy();
    this.plots = [];
    for (const old of this.querySelectorAll(".plot, p")) old.remove();
    delete this.dataset.points;
  }

  async draw() {
    clearTimeout(this.waiting);
    this.waiting = null;
    const Plot = await library;
    if (!this.shown || !this.points) return;
    this.clear();
    const sayings = { false: "The chart cannot be drawn: its script did not come. Load the page again.", true: "Nothing was measured yet." };
    if (!Plot || !this.points.length) {
      this.append(Object.assign(document.createElement("p"), { textContent: sayings[Boolean(Plot)] }));
      return;
    }
    this.plots = [this.amounts(), this.writers()].filter(({ series }) => series.length).map((drawing) => this.plot(Plot, drawing));
    this.dataset.points = this.points.length;
  }

  resize() {
    for (const plot of this.plots ?? []) if (this.clientWidth) plot.setSize({ width: this.clientWidth, height: plot.height });
  }

  /** What is left to be sent, and what flows. */
  amounts() {
    return {
      label: "memory left and rate",
      series: [
        { label: "Left", unit: "MiB", scale: "MiB", colour: COLOURS[0], values: this.points.map(({ left_mib }) => left_mib) },
        { label: "Flows", unit: "MiB/s", scale: "MiB/s", colour: "good", dash: [5, 3], values: this.points.map(({ rate_mib_s }) => rate_mib_s) },
      ],
    };
  }

  /** What the heaviest writers write and may write, and what is taken from all vCPUs. */
  writers() {
    const count = Math.max(...this.points.map(({ dirty_mib_s }) => dirty_mib_s.length));
    const most = (vcpu) => Math.max(...this.points.map(({ dirty_mib_s }) => dirty_mib_s[vcpu] ?? 0));
    const heavy = [...Array(count).keys()].sort((one, other) => most(other) - most(one)).slice(0, COLOURS.length);
    const series = heavy.sort((one, other) => one - other).flatMap((vcpu, place) => this.#writer(vcpu, COLOURS[place], count));
    if (this.points.some(({ throttle }) => throttle)) {
      series.push({ label: "Throttle of all", unit: "%", scale: "%", colour: "hot", values: this.points.map(({ throttle }) => throttle * 100) });
    }
    return { label: "what vCPUs write, and their limits", series };
  }

  #writer(vcpu, colour, count) {
    const name = count === 1 ? "All vCPUs" : `vCPU ${vcpu}`;
    const base = { unit: "MiB/s", scale: "MiB/s", colour };
    const limits = this.points.map(({ limits_mib_s }) => limits_mib_s[vcpu] ?? null);
    const writes = { ...base, label: name, values: this.points.map(({ dirty_mib_s }) => dirty_mib_s[vcpu] ?? null) };
    return limits.some((each) => each !== null) ? [writes, { ...base, label: `${name} may`, dash: [4, 3], values: limits }] : [writes];
  }

  plot(Plot, { label, series }) {
    const place = this.appendChild(Object.assign(document.createElement("div"), { className: "plot", role: "img" }));
    place.ariaLabel = `${this.getAttribute("name")}: ${label}`;
    const data = [this.points.map(({ seconds }) => seconds), ...series.map(({ values }) => values)];
    return new Plot(this.options(series, place), data, place);
  }

  options(series, place) {
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour("muted"), font: `11px ${style.fontFamily}`, ticks: { show: false } };
    const scales = [...new Set(series.map(({ scale }) => scale))];
    const shown = (value, unit) => (value === null || value === undefined ? "–" : `${Math.round(value).toLocaleString("en")} ${unit}`);
    return {
      width: this.clientWidth,
      height: place.clientHeight - 26,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: Object.fromEntries([["x", { time: false }], ...scales.map((scale) => [scale, { range: (_, __, most) => [0, scale === "%" ? 100 : most * 1.05 || 1] }])]),
      axes: [
        { ...axis, grid: { show: false }, size: 22, values: (_, all) => all.map((each) => `${each} s`) },
        ...scales.map((scale, at) => ({
          ...axis, scale, side: at ? 1 : 3, size: 74, grid: { show: !at, stroke: colour("line-soft"), width: 1 }, values: (_, all) => all.map((each) => shown(each, scale)),
        })),
      ],
      series: [
        { label: "After", value: (_, each) => (each === null ? "–" : `${each.toFixed(1)} s`) },
        ...series.map((each) => ({
          label: each.label, scale: each.scale, dash: each.dash, stroke: colour(each.colour), width: 1.6, spanGaps: false,
          points: { show: this.points.length < 3, size: 5 }, value: (_, value) => shown(value, each.unit),
        })),
      ],
    };
  }
}

customElements.define("move-curve", MoveCurve);
