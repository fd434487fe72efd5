// SPDX-License-Identifier: Apache-2.0
// <run-progress waves="ddd iip pp">: every step as a cell, wave after wave, however many there are.
// Letters: p waits, i is under way, d is done, f failed, s was skipped. Colour and form both tell.

const ROW = 16;
const LABEL = 62;
const MOST_WAVES = 24;

class RunProgress extends HTMLElement {
  static observedAttributes = ["waves"];

  connectedCallback() {
    this.canvas = this.querySelector("canvas") ?? this.appendChild(document.createElement("canvas"));
    this.seen = new ResizeObserver(() => this.#draw());
    this.seen.observe(this);
    this.redraw = () => this.#draw();
    document.addEventListener("billow:theme", this.redraw);
  }

  disconnectedCallback() {
    this.seen.disconnect();
    document.removeEventListener("billow:theme", this.redraw);
  }

  attributeChangedCallback() {
    if (this.canvas) this.#draw();
  }

  /** The waves that are shown: all, or those around the one that is under way. */
  get shown() {
    const waves = (this.getAttribute("waves") ?? "").split(" ").filter(Boolean);
    const active = Math.max(waves.findIndex((wave) => /[ip]/.test(wave)), 0);
    const first = Math.max(Math.min(active - 4, waves.length - MOST_WAVES), 0);
    return waves.slice(first, first + MOST_WAVES).map((steps, at) => ({ steps, number: first + at + 1 }));
  }

  #draw() {
    const style = getComputedStyle(this);
    const wide = this.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const { shown } = this;
    if (wide <= LABEL || !shown.length) return;
    const pen = this.#sized(wide, shown.length * ROW);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const colours = { p: colour("faint"), i: colour("accent"), d: colour("good"), f: colour("hot"), s: colour("muted") };
    shown.forEach((wave, row) => {
      pen.fillStyle = colour("muted");
      pen.font = `500 11px ${style.fontFamily}`;
      pen.fillText(`wave ${wave.number}`, 0, row * ROW + 10);
      this.#wave(pen, wave.steps, row * ROW, wide - LABEL, colours);
    });
  }

  #wave(pen, steps, top, wide, colours) {
    const step = Math.min(Math.max(wide / steps.length, 1), 26);
    const gap = step > 5 ? 2 : step > 3 ? 1 : 0;
    [...steps].forEach((letter, at) => {
      const x = LABEL + at * step;
      const high = { d: 10, i: 10, f: 10, p: 4, s: 2 }[letter];
      pen.fillStyle = colours[letter];
      pen.fillRect(x, top + (12 - high) / 2, Math.max(step - gap, 1), high);
      if (letter === "f" && step > 8) cross(pen, x + (step - gap) / 2, top + 6, getComputedStyle(this).getPropertyValue("--surface"));
    });
  }

  #sized(wide, high) {
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(wide * scale);
    this.canvas.height = Math.round(high * scale);
    this.canvas.style.height = `${high}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    return pen;
  }
}

function cross(pen, x, y, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  pen.beginPath();
  pen.moveTo(x - 3, y - 3);
  pen.lineTo(x + 3, y + 3);
  pen.moveTo(x + 3, y - 3);
  pen.lineTo(x - 3, y + 3);
  pen.stroke();
}

customElements.define("run-progress", RunProgress);

/** Move the bar of one step as its engine reports; the table itself comes from the server. */
document.addEventListener("billow:progress", ({ detail }) => {
  const live = document.querySelector("[data-run]");
  if (!live || live.dataset.run !== detail.run) return;
  const row = live.querySelector(`tr[data-action="${CSS.escape(detail.action)}"]`);
  const bar = row?.querySelector("progress");
  if (!bar) {
    document.dispatchEvent(new CustomEvent("billow:step"));
    return;
  }
  if (typeof detail.fraction === "number") bar.value = detail.fraction;
  const words = [detail.phase, typeof detail.left_s === "number" ? `~${Math.ceil(detail.left_s)} s` : ""];
  row.querySelector("[data-phase]").textContent = words.filter(Boolean).join(" ");
});
