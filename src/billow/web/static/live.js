// SPDX-License-Identifier: Apache-2.0
// One stream per page: what the server tells becomes events of the document. A hidden page lets go of its
// connection (a browser has six per server) and catches up when it is seen again.

const KINDS = ["line", "progress", "map", "pool", "resync"];
const LET_GO_MS = 20_000;

const wanted = { after: "", map: "" };
let source = null;
let farewell = 0;

/** Open the stream, or open it anew with what has changed. @param {{map?: string}} more */
export function follow(more = {}) {
  const changed = Object.entries(more).some(([name, value]) => wanted[name] !== value);
  Object.assign(wanted, more);
  if (source && !changed) return;
  close();
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  source = new EventSource(`/stream?${query}`);
  source.addEventListener("open", () => tell("live", { open: true }));
  source.addEventListener("error", () => tell("live", { open: false }));
  for (const kind of KINDS) source.addEventListener(kind, (message) => receive(kind, message));
}

function receive(kind, message) {
  if (message.lastEventId) wanted.after = message.lastEventId;
  const detail = JSON.parse(message.data);
  if (kind === "map") wanted.map = detail.to;
  tell(kind, detail);
}

function tell(kind, detail) {
  document.dispatchEvent(new CustomEvent(`billow:${kind}`, { detail }));
}

function close() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(farewell);
  if (document.hidden) farewell = setTimeout(close, LET_GO_MS);
  else if (!source && wanted.after) follow();
});
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", (event) => event.persisted && follow());

/** Begin after the newest event that the page already shows. */
export function start() {
  wanted.after = document.body.dataset.after ?? "0";
  if (!document.querySelector("pool-map")) follow();
}
