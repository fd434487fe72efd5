# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium in the hands of somebody who has logged in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.control_planes import ControlPlane

PATIENCE_MS: Final = 60_000  # a busy machine is no failure
_FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give Debian's Chromium; no other is downloaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def entered(browser: Browser, plane: ControlPlane) -> Iterator[Page]:
    """Give a page of somebody who has logged in; any complaint of the browser is a failure."""
    context = browser.new_context(base_url=plane.url, viewport={"width": 1360, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    page.goto("/")
    page.get_by_label("Token").fill(plane.token)
    page.get_by_role("button", name="Log in").click()
    yield page
    context.close()
    assert complaints == []
