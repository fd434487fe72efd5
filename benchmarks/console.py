# SPDX-License-Identifier: Apache-2.0
"""The console: the home page's first full map, and hover answers, with 10,000 hosts in Chromium.

A real server on loopback with a simulated pool (about ten instances a host), and Chromium
without a screen. Each home page is opened in a fresh profile, so nothing is in its cache.
"""

import argparse
import base64
import html
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.figure import Figure, Peer

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
START_S = 180
WINDOW = ViewportSize(width=1440, height=900)

# A hover is answered when the next frame after the full tip has begun: then it can be seen.
LISTEN = """
window.hovers = [];
document.addEventListener("pool-map:told", ({ detail }) => {
  const ended = performance.now();
  requestAnimationFrame(() => hovers.push(detail.ms + performance.now() - ended));
});
"""
TABLE_COLUMNS = ("mark", "cpu_reserved", "memory_reserved", "cpu_used", "memory_used")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add how large the pool is, and how often is measured."""
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--homes", type=int, default=7, help="how many fresh browsers")
    parser.add_argument("--hovers", type=int, default=120)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure the home page, its hover, and an HTML table of the same hosts beside it."""
    with server(arguments.hosts) as (url, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        homes = sorted(home_s(browser, url, token) for _ in range(arguments.homes))
        sent = map_of(browser, url, token)
        table = Peer(f"an HTML table of {arguments.hosts} hosts", table_s(browser, sent))
        yield Figure("console_home_full_map_s", statistics.median(homes), "s", goal=2, peer=table)
        yield Figure("console_home_full_map_worst_s", homes[-1], "s", goal=2)
        told, bare = hovers_ms(browser, url, token, arguments.hovers)
        request = Peer("a bare request to the same server", bare)
        yield Figure("console_hover_ms", statistics.median(told), "ms", goal=50, peer=request)
        p95 = statistics.quantiles(told, n=20)[-1]
        yield Figure("console_hover_p95_ms", p95, "ms", goal=50)
        yield Figure("console_map_mib", len(json.dumps(sent)) / 2**20, "MiB")


@contextmanager
def server(hosts: int) -> Iterator[tuple[str, str]]:
    """Run `billow up` with a simulated pool; give its address and a token."""
    with tempfile.TemporaryDirectory(prefix="billow-console-") as folder:
        state = Path(folder)
        command = [sys.executable, "-m", "billow", "up", "--engine", "sim", "--port", "0"]
        command += ["--hosts", str(hosts), "--state", folder]
        with (state / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            yield awaited(process, state)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def awaited(process: subprocess.Popen[bytes], state: Path) -> tuple[str, str]:
    """Return the address and the token of a server when it answers."""
    deadline = time.monotonic() + START_S
    while not (state / "url").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((state / "log").read_text())
        time.sleep(0.1)
    url, token = ((state / name).read_text().strip() for name in ("url", "token"))
    with urllib.request.urlopen(url + "/login", timeout=START_S) as answer:  # noqa: S310
        answer.read()
    return url, token


def entered(browser: Browser, url: str, token: str) -> Page:
    """Return a page of a fresh profile that has logged in, and shows nothing of the map yet."""
    page = browser.new_context(base_url=url, viewport=WINDOW).new_page()
    page.set_default_timeout(120_000)
    page.goto("/login?then=/search")
    page.fill("input[name=token]", token)
    page.click("button.main")
    page.wait_for_url("**/search")
    return page


def home_s(browser: Browser, url: str, token: str) -> float:
    """Open the home page; return the seconds from the navigation's start to the drawn map."""
    page = entered(browser, url, token)
    page.goto("about:blank")
    page.goto("/")
    page.wait_for_selector("pool-map[data-drawn]")
    mark_ms: float = page.evaluate("performance.getEntriesByName('pool-map-drawn')[0].startTime")
    page.context.close()
    return mark_ms / 1000


def map_of(browser: Browser, url: str, token: str) -> dict[str, Any]:
    """Return the map's document."""
    page = entered(browser, url, token)
    sent: dict[str, Any] = page.evaluate("fetch('/map.json').then((answer) => answer.json())")
    page.context.close()
    return sent


def table_s(browser: Browser, sent: dict[str, Any]) -> float:
    """Show the same hosts as one HTML table from a file; return the seconds to its first frame."""
    columns = [base64.b64decode(sent["columns"][name]) for name in TABLE_COLUMNS]
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{c[place]}</td>' for c in columns)}</tr>"
        for place, name in enumerate(sent["names"].split("\n"))
    )
    with tempfile.NamedTemporaryFile("w", suffix=".html") as file:
        file.write(f"<!doctype html><title>hosts</title><table>{rows}</table>")
        file.flush()
        page = browser.new_page(viewport=WINDOW)
        page.goto(f"file://{file.name}")
        ended = "new Promise((done) => requestAnimationFrame(() => done(performance.now())))"
        shown_ms: float = page.evaluate(ended)
        page.close()
    return shown_ms / 1000


def hovers_ms(browser: Browser, url: str, token: str, count: int) -> tuple[list[float], float]:
    """Point at hosts all over the map; return each answer's time, and a bare request's median."""
    page = entered(browser, url, token)
    page.add_init_script(LISTEN)
    page.goto("/")
    page.wait_for_selector("pool-map[data-drawn]")
    box = page.locator("pool-map > canvas").bounding_box()
    assert box is not None
    dice = random.Random(1)
    for _ in range(count * 2):
        page.mouse.move(
            box["x"] + dice.random() * box["width"], box["y"] + dice.random() * box["height"]
        )
        page.wait_for_timeout(60)
        if page.evaluate("hovers.length") >= count:
            break
    told: list[float] = page.evaluate("hovers")
    assert len(told) >= count // 2, f"only {len(told)} hovers were answered"
    bare = statistics.median(page.evaluate(BARE) for _ in range(30))
    page.context.close()
    return told, bare


BARE = """
async () => {
  const begun = performance.now();
  await (await fetch("/v1/errors")).text();
  return performance.now() - begun;
}
"""
