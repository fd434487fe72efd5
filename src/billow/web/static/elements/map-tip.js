// SPDX-License-Identifier: Apache-2.0
// What the map tells of a host: its figures at once from the columns, its instances a rack at a time.

import { MARKS, NOT_SEEN } from "./map-paint.js";

const AROUND = 4;

/** The instances of whole racks: told at once when known, asked for again when the pool has changed. */
export class Residents {
  /** @param {{version: string}} map */
  constructor(map) {
    this.map = map;
    this.racks = new Map();
    this.asked = new Map();
  }

  /** Return what is known of a rack already. */
  known(block) {
    return this.racks.get(block.rack)?.hosts;
  }

  /** Return whether what is known of a rack is of the picture that is shown. */
  isFresh(block) {
    return this.racks.get(block.rack)?.version === this.map.version;
  }

  /** Forget a rack, since something moved there. */
  forget(block) {
    this.racks.delete(block.rack);
  }

  /** Ask for a rack; two questions for one rack are one. */
  fetch(block) {
    return this.#fetch([block]).then((racks) => racks[0]);
  }

  /** Ask for the racks beside one in the same breath, before anybody points there. */
  around(blocks, block) {
    const at = blocks.indexOf(block);
    const near = blocks.slice(Math.max(at - AROUND, 0), at + AROUND + 1);
    if (near.some((each) => !this.racks.has(each.rack))) this.#fetch(near);
  }

  #fetch(blocks) {
    const key = `${this.map.version} ${blocks[0].first} ${blocks.length}`;
    if (!this.asked.has(key)) {
      this.asked.set(key, this.#ask(blocks).finally(() => this.asked.delete(key)));
    }
    return this.asked.get(key);
  }

  async #ask(blocks) {
    const { version } = this.map;
    const count = blocks.reduce((sum, block) => sum + block.count, 0);
    const answer = await fetch(`/map/residents?first=${blocks[0].first}&count=${count}`);
    if (!answer.ok) return blocks.map(() => []);
    const hosts = await answer.json();
    return blocks.map((block) => {
      const mine = hosts.slice(block.first - blocks[0].first).slice(0, block.count);
      this.racks.set(block.rack, { version, hosts: mine });
      return mine;
    });
  }
}

/**
 * Write a host's facts and, when they are known, its instances.
 * @param {HTMLElement} tip
 * @param {object} map
 * @param {number} place
 * @param {{total: number, shown: string[][]}=} residents
 */
export function fill(tip, map, place, residents) {
  const c = map.columns;
  const mark = MARKS[c.mark[place]];
  const cpus = `${c.cpus[place].toLocaleString("en")} CPUs`;
  const memory = `${c.memory_gib[place].toLocaleString("en")} GiB`;
  const rows = [["", "reserved", "used", "predicted"]];
  for (const [word, resource] of [[cpus, "cpu"], [memory, "memory"]]) {
    rows.push([word, ...["reserved", "used", "predicted"].map((of) => share(c[`${resource}_${of}`][place]))]);
  }
  tip.replaceChildren(
    node("header", "", node("b", "", map.names[place]), node("span", `state ${mark}`, mark)),
    node("p", "where", whereabouts(map, place) + (c.gpus[place] ? ` · ${c.gpus[place]} GPUs` : "")),
    table(rows),
    ...instances(residents, c.instances[place]),
  );
}

function whereabouts(map, place) {
  let rack = 0;
  let end = map.counts[0];
  while (place >= end) end += map.counts[(rack += 1)];
  const words = [map.zones[rack], map.racks[rack] ? `rack ${map.racks[rack]}` : ""];
  return words.filter(Boolean).join(" · ") || "no zone, no rack";
}

function share(step) {
  return step === NOT_SEEN ? "–" : `${Math.round(step / 2)} %`;
}

function table(rows) {
  const body = document.createElement("table");
  for (const cells of rows) body.append(node("tr", "", ...cells.map((cell) => node("td", "", cell))));
  return body;
}

function instances(residents, count) {
  const head = node("p", "count", count === 1 ? "1 instance" : `${count.toLocaleString("en")} instances`);
  if (!residents) return [head];
  const list = residents.shown.map(([name, state, size]) =>
    node("li", "", node("span", `dot ${state}`), node("span", "name", name), node("span", "size", size)),
  );
  const more = residents.total - residents.shown.length;
  if (more > 0) list.push(node("li", "more", `and ${more.toLocaleString("en")} more`));
  return [head, node("ul", "", ...list)];
}

function node(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
