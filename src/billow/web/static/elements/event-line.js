// SPDX-License-Identifier: Apache-2.0
// <event-line>: one thing that happened. New ones are put on top of every list that wants them.

const MOST_LINES = 400;

class EventLine extends HTMLElement {
  /** Whether it is among what a list is filtered to. @param {DOMStringMap} wanted */
  static fits(event, wanted) {
    const about = ["host", "instance", "plan", "run"].every(
      (kind) => !wanted[kind] || event.subjects.includes(`${kind}/${wanted[kind]}`),
    );
    return about && (!wanted.person || wanted.person === event.actor) && (!wanted.kind || wanted.kind === event.kind);
  }
}

customElements.define("event-line", EventLine);

/** Put a line on top of every list on the page, once. */
function arrive(event) {
  for (const list of document.querySelectorAll("[data-lines]")) {
    const isPaged = list.dataset.lines === "" && "host" in list.dataset;
    if (isPaged || !EventLine.fits(event, list.dataset)) continue;
    if (list.querySelector(`event-line[data-id="${Number(event.id)}"]`)) continue;
    list.querySelector(":scope > .empty, :scope > .empty-state")?.remove();
    const line = parsed(event.html);
    line.classList.add("fresh");
    list.prepend(line);
    for (const old of [...list.querySelectorAll(":scope > event-line")].slice(MOST_LINES)) old.remove();
  }
}

/** The server has escaped every text in it; it is the same line that it sends with a page. */
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.querySelector("event-line");
}

/** Write again how long ago things were, as the server wrote it. */
function ago(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= 2 && seconds >= size) return `${Math.floor(seconds / size).toLocaleString("en")} ${unit} ago`;
  }
  return "now";
}

function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[datetime]")) {
    const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

document.addEventListener("billow:line", (event) => arrive(event.detail));
setInterval(tick, 1000);
