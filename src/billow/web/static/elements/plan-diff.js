// SPDX-License-Identifier: Apache-2.0
// <plan-diff src resource>: the map before and the map after, and an arrow for every move between them.

import { arrange, blockOf, corner, placeAt } from "./map-layout.js";
import { Painter, Palette } from "./map-paint.js";
import { opened } from "./pool-map.js";

const MIDDLE = 64;
const HEAD = 24;
const STUB = 24;
const COLOURS = { place: "good", migrate: "accent", delete: "hot" };

class PlanDiff extends HTMLElement {
  static observedAttributes = ["resource", "hosts"];

  connectedCallback() {
    this.canvas = this.appendChild(document.createElement("canvas"));
    this.canvas.setAttribute("role", "img");
    this.only = "";
    this.stopped = new AbortController();
    const { signal } = this.stopped;
    document.addEventListener("billow:theme", () => this.#draw(), { signal });
    document.addEventListener("pointerover", (event) => this.#follow(event), { signal });
    this.canvas.addEventListener("pointermove", (event) => this.#point(event), { signal });
    this.canvas.addEventListener("click", (event) => this.#open(event), { signal });
    new ResizeObserver(() => this.#draw()).observe(this);
    this.#load();
  }

  disconnectedCallback() {
    this.stopped.abort();
  }

  attributeChangedCallback(name) {
    if (name === "hosts") this.#load();
    else this.#draw();
  }

  async #load() {
    const answer = await fetch(`${this.getAttribute("src")}?hosts=${this.getAttribute("hosts") ?? "touched"}`);
    if (!answer.ok) throw new Error(`the plan's map did not come: ${answer.status}`);
    this.map = opened(await answer.json());
    const { hosts, shown, touched } = this.map;
    const note = document.querySelector("[data-diff-note]");
    const text = shown < hosts ? `the ${touched} hosts that it touches, of ${hosts.toLocaleString("en")}` : `${touched} of ${hosts} hosts change`;
    if (note) note.textContent = text;
    const choice = document.querySelector("[data-diff-hosts]");
    if (choice && shown < hosts) choice.hidden = false;
    this.canvas.setAttribute("aria-label", `Maps before and after with ${this.map.moves.length} moves; the steps below say the same.`);
    this.#draw();
  }

  #draw() {
    const wide = Math.floor(this.clientWidth);
    if (!this.map || wide < 200) return;
    const side = Math.floor((wide - MIDDLE) / 2);
    this.layout = arrange(this.map, side, 340);
    this.right = side + MIDDLE;
    const pen = this.#sized(wide, this.layout.height + HEAD);
    this.palette = new Palette(this);
    this.#side(pen, 0, "before");
    this.#side(pen, this.right, "after");
    for (const move of this.map.moves) this.#arrow(pen, move);
    this.dataset.drawn = this.map.version;
  }

  #side(pen, left, name) {
    const { columns, names } = this.map;
    const scale = window.devicePixelRatio || 1;
    pen.save();
    pen.translate(left, 0);
    pen.font = `600 11px ${this.palette.font}`;
    pen.fillStyle = this.palette.muted;
    pen.fillText(name === "before" ? "Before" : "After", 0, 10);
    pen.translate(0, HEAD);
    const painter = new Painter(pen, this.layout, this.palette, scale);
    painter.labels();
    const step = columns[`${this.getAttribute("resource") ?? "cpu"}_${name}`];
    const mark = columns[`mark_${name}`];
    names.forEach((host, place) => painter.cell(place, mark[place], step[place], host));
    pen.restore();
  }

  /** Draw a move from the left map to the right one; what comes or goes has only a short end. */
  #arrow(pen, [verb, instance, from, to]) {
    const chosen = !this.only || this.only === instance;
    if (from < 0 && to < 0) return;
    const start = from < 0 ? null : this.#centre(from, 0, 0.92);
    const end = to < 0 ? null : this.#centre(to, this.right, 0.08);
    const a = start ?? { x: end.x - STUB, y: end.y };
    const b = end ?? { x: start.x + STUB, y: start.y };
    const bend = Math.abs(b.x - a.x) * 0.45;
    pen.globalAlpha = chosen ? Math.max(Math.min(40 / this.map.moves.length, 0.9), this.only ? 0.95 : 0.18) : 0.05;
    pen.strokeStyle = getComputedStyle(this).getPropertyValue(`--${COLOURS[verb]}`);
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = this.only && chosen ? 2.2 : 1.3;
    pen.setLineDash(verb === "migrate" ? [] : [4, 3]);
    pen.beginPath();
    pen.moveTo(a.x, a.y);
    pen.bezierCurveTo(a.x + bend, a.y, b.x - bend, b.y, b.x - 5, b.y);
    pen.stroke();
    pen.setLineDash([]);
    tip(pen, b, verb === "delete");
    pen.globalAlpha = 1;
  }

  #centre(place, left, along) {
    const at = corner(this.layout, blockOf(this.layout, place), place);
    const { w, h } = this.layout.cell;
    return { x: left + at.x + w * (this.layout.tile ? along : 0.5), y: HEAD + at.y + h / 2 };
  }

  /** Follow a step that is pointed at in the table. */
  #follow(event) {
    const only = event.target.closest?.("tr[data-subject]")?.dataset.subject ?? "";
    if (only === this.only) return;
    this.only = only;
    this.#draw();
  }

  #under(event) {
    if (!this.layout) return -1;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    return placeAt(this.layout, x >= this.right ? x - this.right : x, event.clientY - box.top - HEAD);
  }

  #point(event) {
    const place = this.#under(event);
    this.canvas.style.cursor = place < 0 ? "default" : "pointer";
    this.canvas.title = place < 0 ? "" : this.#words(place);
  }

  #words(place) {
    const { columns, names } = this.map;
    const share = (name) => `${Math.round(columns[name][place] / 2)} %`;
    const lines = ["cpu", "memory"].map((r) => `${r} ${share(`${r}_before`)} → ${share(`${r}_after`)}`);
    return [names[place], ...lines].join("\n");
  }

  #open(event) {
    const place = this.#under(event);
    if (place >= 0) location.assign(`/hosts/${encodeURIComponent(this.map.names[place])}`);
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

function tip(pen, { x, y }, isCross) {
  pen.beginPath();
  if (isCross) {
    pen.moveTo(x - 4, y - 4);
    pen.lineTo(x + 4, y + 4);
    pen.moveTo(x + 4, y - 4);
    pen.lineTo(x - 4, y + 4);
    pen.stroke();
    return;
  }
  pen.moveTo(x + 1, y);
  pen.lineTo(x - 7, y - 4);
  pen.lineTo(x - 7, y + 4);
  pen.fill();
}

customElements.define("plan-diff", PlanDiff);
