// SPDX-License-Identifier: Apache-2.0
// What every page does: copy a command, switch the theme, keep the tree open, bring pages up to date.

import "./elements/event-line.js";
import "./elements/move-curve.js";
import "./elements/pool-map.js";
import "./elements/plan-diff.js";
import "./elements/run-progress.js";
import { start } from "./live.js";
import { charts } from "./trend.js";

const THEMES = ["system", "light", "dark"];

/** What a click on something does, by the attribute that it bears. */
const CLICKS = {
  "[data-copy]": copy,
  "[data-theme-switch]": switchTheme,
  "[data-fold-log]": foldLog,
  "[data-map]": (link, event) => switchOf(link, event, "pool-map", link.dataset.map),
  "[data-diff]": (link, event) => switchOf(link, event, "plan-diff", link.dataset.diff),
  "[data-tick-all]": tickAll,
};

document.addEventListener("click", (event) => {
  for (const [selector, act] of Object.entries(CLICKS)) {
    const found = event.target.closest(selector);
    if (found) act(found, event);
  }
});

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function switchTheme(button) {
  const next = THEMES[(THEMES.indexOf(window.billowTheme.chosen()) + 1) % THEMES.length];
  window.billowTheme.choose(next);
  button.title = `Theme: ${next}`;
}

function foldLog() {
  const folded = document.querySelector(".log").classList.toggle("folded");
  localStorage.setItem("billow-log", folded ? "folded" : "");
}

/** Change one attribute of a map, and the URL with it. */
function switchOf(link, event, element, name) {
  event.preventDefault();
  document.querySelector(element)?.setAttribute(name, link.dataset.value);
  for (const other of link.parentElement.children) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  const map = document.querySelector("pool-map");
  if (element !== "pool-map" || !map) return;
  const query = new URLSearchParams({ measure: map.getAttribute("measure"), resource: map.getAttribute("resource") });
  history.replaceState(null, "", `/?${query}`);
  for (const each of document.querySelectorAll("[data-map]")) {
    const mine = new URLSearchParams(query);
    mine.set(each.dataset.map, each.dataset.value);
    each.href = `/?${mine}`;
  }
  const shown = document.querySelector("[data-shown]");
  if (shown) shown.textContent = `${map.getAttribute("resource")} ${map.getAttribute("measure")}`;
}

function tickAll(box) {
  for (const each of document.querySelectorAll("input[name=name][type=checkbox]")) each.checked = box.checked;
  countTicks();
}

function countTicks() {
  const note = document.querySelector("[data-ticked]");
  if (!note) return;
  const ticked = document.querySelectorAll("input[name=name]:checked").length;
  note.textContent = ticked ? `${ticked} ticked; one plan for all of them:` : "Tick instances to ask for several at once";
}

document.addEventListener("change", (event) => {
  if (event.target.matches("input[name=name][type=checkbox]")) countTicks();
});

/** Keep the command beside a form true to what the form says. */
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-command]");
  if (!form) return;
  const fields = [...form.querySelectorAll("[data-before]")].filter((field) => field.value);
  const words = fields.map(({ dataset, value }) => quoted(`${dataset.before}${value}${dataset.behind ?? ""}`));
  const line = [form.dataset.command, ...words].join(" ");
  form.querySelector(".cli code").textContent = line;
  form.querySelector(".cli code").title = line;
  form.querySelector(".cli button").dataset.copy = line;
});

/** A form that is on its way says so, and since when: nothing is waited for in silence. */
document.addEventListener("submit", (event) => {
  const button = event.submitter ?? event.target.querySelector("button");
  if (event.target.method !== "post" || !button || event.defaultPrevented) return;
  const since = performance.now();
  const bar = document.body.appendChild(Object.assign(document.createElement("div"), { className: "waiting" }));
  bar.setAttribute("role", "status");
  setTimeout(() => button.setAttribute("aria-disabled", "true"));
  const write = () => {
    bar.textContent = `${button.textContent.trim()}: the server is working on it, ${Math.round((performance.now() - since) / 1000)} s`;
  };
  write();
  setInterval(write, 500);
});

/** Quote a word for a shell. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    document.querySelector(".search input").focus();
  }
  if (event.key === "Escape") document.getElementById("found")?.replaceChildren();
});

document.addEventListener("click", (event) => {
  if (!event.target.closest(".search")) document.getElementById("found")?.replaceChildren();
});

/** Turn lines of the stream into what the parts of a page wait for. */
document.addEventListener("billow:line", ({ detail }) => {
  const run = document.querySelector("[data-run]")?.dataset.run;
  if (run && detail.subjects.includes(`run/${run}`)) say("step");
  const move = document.querySelector("[data-migration]")?.dataset.migration;
  if (move && detail.subjects.includes(`migration/${move}`)) say("move");
  if (detail.kind === "incident.step") say("incident");
  if (detail.kind.startsWith("plan.")) say("plans");
  if (detail.kind.startsWith("run.") || detail.kind === "step.ended") say("runs");
  if (detail.kind.startsWith("run.")) say("plans");
});

function say(name) {
  document.dispatchEvent(new CustomEvent(`billow:${name}`));
}

/** Ask again now and then while a run is open, should a message have been lost. */
setInterval(() => {
  if (!document.hidden && document.querySelector("[data-run] [data-state=running]")) say("slow");
}, 3000);

document.addEventListener("billow:live", ({ detail }) => {
  const state = document.querySelector("[data-live]");
  state.textContent = detail.open ? "live" : "connection lost, trying again";
  state.className = `live state ${detail.open ? "ok" : "suspect"}`;
});

document.addEventListener("billow:map", ({ detail }) => {
  const seen = document.querySelector("[data-seen] time");
  if (seen) seen.dateTime = new Date(detail.taken_at * 1000).toISOString();
});

/** The tree stays as it was left, and shows where the page's host is. */
function rememberTree() {
  const open = new Set(JSON.parse(sessionStorage.getItem("billow-tree") ?? "[]"));
  const here = document.querySelector("[data-rack]")?.dataset;
  if (here) open.add(here.zone).add(`${here.zone}/${here.rack}`);
  const unfold = () => {
    for (const branch of document.querySelectorAll(".tree details:not([open])")) {
      if (open.has(branch.dataset.key) || branch.hasAttribute("data-open")) branch.open = true;
      branch.removeAttribute("data-open");
    }
  };
  document.querySelector(".tree").addEventListener("toggle", ({ target }) => {
    if (target.open) open.add(target.dataset.key);
    else open.delete(target.dataset.key);
    sessionStorage.setItem("billow-tree", JSON.stringify([...open]));
  }, true);
  document.addEventListener("htmx:after:swap", unfold);
  window.addEventListener("load", unfold);
}

document.addEventListener("htmx:after:swap", () => {
  const here = location.pathname;
  for (const link of document.querySelectorAll(".tree li a")) {
    if (link.getAttribute("href") !== here || link.hasAttribute("aria-current")) continue;
    link.setAttribute("aria-current", "page");
    link.scrollIntoView({ block: "nearest" });
  }
});

document.querySelector(".log").classList.toggle("folded", localStorage.getItem("billow-log") === "folded");
rememberTree();
start();
charts();
