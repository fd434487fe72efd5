// SPDX-License-Identifier: Apache-2.0
// <pool-map src measure resource>: every host as a dot, rack by rack; hover tells, click opens.
// It draws what the server sent; what a figure means is the server's business.

import { follow } from "../live.js";
import { arrange, blockOf, corner, placeAt } from "./map-layout.js";
import { Painter, Palette } from "./map-paint.js";
import { legend } from "./map-legend.js";
import { Residents, fill } from "./map-tip.js";

const LEGEND = 128;
const MOVED = new Set(["instances", "cpu_reserved", "memory_reserved"]);
const WIDTHS = { mark: Uint8Array, instances: Uint16Array, cpus: Uint32Array, memory_gib: Uint32Array };

/** Turn base64 of little-endian numbers into a typed array. */
export function unpack(name, text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const Numbers = WIDTHS[name] ?? Uint8Array;
  return new Numbers(bytes.buffer);
}

/** Turn a map document into columns and names. */
export function opened(sent) {
  const columns = Object.fromEntries(
    Object.entries(sent.columns).map(([name, text]) => [name, unpack(name, text)]),
  );
  return { ...sent, columns, names: sent.names ? sent.names.split("\n") : [] };
}

class PoolMap extends HTMLElement {
  static observedAttributes = ["measure", "resource"];

  connectedCallback() {
    this.canvas = Object.assign(document.createElement("canvas"), { tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.tip = Object.assign(document.createElement("div"), { className: "map-tip", hidden: true });
    this.tip.setAttribute("role", "status");
    this.mark = Object.assign(document.createElement("div"), { className: "map-mark", hidden: true });
    this.append(this.canvas, this.mark, this.tip);
    this.at = -1;
    this.#listen();
    this.#load();
  }

  disconnectedCallback() {
    this.stopped?.abort();
  }

  attributeChangedCallback() {
    if (this.map) this.#draw();
  }

  /** The column that is shown. */
  get column() {
    const measure = this.getAttribute("measure") ?? "reserved";
    return `${this.getAttribute("resource") ?? "cpu"}_${measure}`;
  }

  async #load() {
    const answer = await fetch(this.getAttribute("src"), { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the map did not come: ${answer.status}`);
    this.map = opened(await answer.json());
    this.residents = new Residents(this.map);
    this.#layout();
    follow({ map: this.map.version });
  }

  #listen() {
    this.stopped = new AbortController();
    const options = { signal: this.stopped.signal };
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.#point(event), options);
    canvas.addEventListener("pointerleave", () => this.#tell(-1), options);
    canvas.addEventListener("blur", () => this.#tell(-1), options);
    canvas.addEventListener("click", () => this.#open(), options);
    canvas.addEventListener("keydown", (event) => this.#key(event), options);
    document.addEventListener("billow:map", (event) => this.#change(event.detail), options);
    document.addEventListener("billow:resync", () => this.#load(), options);
    document.addEventListener("billow:theme", () => this.map && this.#draw(), options);
    new ResizeObserver(() => this.map && this.#layout()).observe(this);
  }

  #layout() {
    const width = Math.floor(this.clientWidth);
    if (!width) return;
    const work = this.closest(".work") ?? document.documentElement;
    const above = this.getBoundingClientRect().top - work.getBoundingClientRect().top + work.scrollTop;
    const room = Math.max(work.clientHeight - above - LEGEND, 240);
    this.layout = arrange(this.map, width, room);
    this.#draw();
  }

  #draw() {
    const { canvas, layout, map } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.ceil(layout.width * scale);
    canvas.height = Math.ceil(layout.height * scale);
    canvas.style.width = `${layout.width}px`;
    canvas.style.height = `${layout.height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    this.palette = new Palette(this);
    this.painter = new Painter(pen, layout, this.palette, scale);
    this.painter.labels();
    this.#cells(map.names.keys());
    this.#frame();
    this.#describe();
    this.#drawn();
  }

  #cells(places) {
    const step = this.map.columns[this.column];
    const mark = this.map.columns.mark;
    for (const place of places) this.painter.cell(place, mark[place], step[place], this.map.names[place]);
  }

  #describe() {
    const hosts = this.map.names.length;
    this.canvas.setAttribute("aria-label", `Map of ${hosts} hosts. Arrow keys move, Enter opens a host.`);
    legend(this, this.map.columns, this.column, this.palette);
  }

  #drawn() {
    if (this.dataset.drawn !== this.map.version) performance.mark("pool-map-drawn");
    this.dataset.drawn = this.map.version;
  }

  #change(delta) {
    if (!this.map || delta.from !== this.map.version) {
      if (delta.to !== this.map?.version) this.#load();
      return;
    }
    const places = new Uint32Array(unpack("", delta.places).buffer);
    for (const [name, text] of Object.entries(delta.columns)) this.#patch(name, places, unpack(name, text));
    Object.assign(this.map, { version: delta.to, taken_at: delta.taken_at });
    this.#draw();
  }

  /** Change one column; where instances came or went, what was known of them is forgotten. */
  #patch(name, places, values) {
    const column = this.map.columns[name];
    values.forEach((value, at) => {
      const place = places[at];
      if (column[place] !== value && MOVED.has(name)) this.residents.forget(blockOf(this.layout, place));
      column[place] = value;
    });
  }

  #point(event) {
    if (!this.layout) return;
    const box = this.canvas.getBoundingClientRect();
    this.#tell(placeAt(this.layout, event.clientX - box.left, event.clientY - box.top), event.timeStamp);
  }

  async #tell(place, since = performance.now()) {
    if (place === this.at) return;
    this.at = place;
    this.#frame();
    this.canvas.style.cursor = place < 0 ? "default" : "pointer";
    this.tip.hidden = place < 0;
    if (place < 0) return;
    const block = blockOf(this.layout, place);
    const known = this.residents.known(block);
    this.#write(place, block, known);
    if (known) this.#told(place, since);
    if (!this.residents.isFresh(block)) {
      const rack = await this.residents.fetch(block);
      if (this.at !== place) return;
      this.#write(place, block, rack);
      if (!known) this.#told(place, since);
    }
    this.residents.around(this.layout.blocks, block);
  }

  #write(place, block, rack) {
    fill(this.tip, this.map, place, rack?.[place - block.first]);
    this.#stand(place, block);
  }

  /** Say that a host was told in full, and how long after it was pointed at. */
  #told(place, since) {
    const detail = { host: this.map.names[place], ms: performance.now() - since };
    this.dispatchEvent(new CustomEvent("pool-map:told", { detail, bubbles: true }));
  }

  /** Put the tip beside the host, inside the window. */
  #stand(place, block) {
    const box = this.canvas.getBoundingClientRect();
    const { x, y } = corner(this.layout, block, place);
    const { w, h } = this.layout.cell;
    const { offsetWidth: wide, offsetHeight: high } = this.tip;
    const right = box.left + x + w + 12;
    const left = right + wide > window.innerWidth - 8 ? box.left + x - wide - 12 : right;
    const top = Math.min(box.top + y - 8, window.innerHeight - high - 8);
    this.tip.style.transform = `translate(${Math.max(left, 8)}px, ${Math.max(top, 8)}px)`;
    this.tip.dataset.cell = `${w}x${h}`;
  }

  /** Put the frame around the host that is pointed at; the canvas itself is not touched. */
  #frame() {
    const shown = this.layout && this.at >= 0 && this.at < this.map.names.length;
    this.mark.hidden = !shown;
    if (!shown) return;
    const { x, y } = corner(this.layout, blockOf(this.layout, this.at), this.at);
    const { w, h } = this.layout.cell;
    Object.assign(this.mark.style, { width: `${w + 4}px`, height: `${h + 4}px`, transform: `translate(${x - 2}px, ${y - 2}px)` });
  }

  #open() {
    if (this.at >= 0) location.assign(`/hosts/${encodeURIComponent(this.map.names[this.at])}`);
  }

  #key(event) {
    const rows = this.layout ? blockOf(this.layout, Math.max(this.at, 0)).rows : 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: rows, ArrowLeft: -rows };
    if (event.key === "Enter") this.#open();
    if (event.key === "Escape") this.#tell(-1);
    if (!(event.key in steps)) return;
    event.preventDefault();
    const last = this.map.names.length - 1;
    this.#tell(Math.min(Math.max(this.at + steps[event.key], 0), last));
  }
}

customElements.define("pool-map", PoolMap);
