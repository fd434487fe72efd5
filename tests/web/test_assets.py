# SPDX-License-Identifier: Apache-2.0
"""What is sent to browsers: vendored files as they came, no inline code, small elements."""

import hashlib
import re
from pathlib import Path

import pytest

from billow.web.house import HERE

STATIC = HERE / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)
TEMPLATES = sorted((HERE / "templates").rglob("*.html"))
OWN = {"HASHES", "README.md"}
MOST_LINES = 250


def test_vendored_files_are_the_ones_that_were_reviewed() -> None:
    lines = [line.split() for line in (VENDOR / "HASHES").read_text().splitlines()]
    listed = {name: digest for digest, name in lines}
    there = {path.name for path in VENDOR.iterdir()} - OWN
    assert set(listed) == there
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_vendored_file_has_its_licence() -> None:
    names = {path.name for path in VENDOR.iterdir()}
    for name in names - OWN:
        stem = re.split(r"-\d", name)[0].removesuffix(".LICENSE")
        assert f"{stem}.LICENSE" in names, name


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_scripts_stay_small_and_licensed(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0] == "// SPDX-License-Identifier: Apache-2.0"
    assert len(lines) <= MOST_LINES
    assert not re.search(r"\b(eval|Function)\(|document\.write|outerHTML\s*=", "\n".join(lines))


def test_only_the_servers_own_lines_are_parsed_as_html() -> None:
    users = {path.name for path in OURS if "innerHTML" in path.read_text()}
    assert users == {"event-line.js"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_inline_code_and_trust_nothing(path: Path) -> None:
    text = path.read_text()
    assert "SPDX-License-Identifier: Apache-2.0" in text.splitlines()[0]
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"\s(on[a-z]+|style)=", text)
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)
    assert not re.search(r"hx-on|hx-vals=.?js:|hx-trigger=\"[^\"]*\[", text)


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in [*OURS, *TEMPLATES, *STATIC.glob("*.css")]:
        assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text()), path.name
