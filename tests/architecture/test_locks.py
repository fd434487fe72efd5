# SPDX-License-Identifier: Apache-2.0
"""The lock files: every package pinned and hashed, one version in all, and no registry named."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["run", "dev", "docs"]


def pins(lock: str) -> dict[str, str]:
    """Return each requirement of a lock file (name, version, marker) with its hashes as text."""
    text = (ROOT / f"{lock}.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {line.split(" --hash", 1)[0].strip(): line.partition(" --hash")[2] for line in lines}


def normal(requirement: str) -> str:
    """Return the normal form of a requirement's bare name."""
    bare = re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", bare).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_hashed(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 10
    assert [
        pin for pin, hashes in found.items() if "==" not in pin or "sha256:" not in hashes
    ] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_is_named(lock: str) -> None:
    assert "://" not in (ROOT / f"{lock}.lock").read_text()


def test_locks_agree() -> None:
    run, dev, docs = ({pin.split(" ;")[0] for pin in pins(lock)} for lock in LOCKS)
    assert run <= dev
    assert run <= docs
    shared = {normal(pin) for pin in dev} & {normal(pin) for pin in docs}
    assert {pin for pin in docs if normal(pin) in shared} <= dev


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {"run": project["project"]["dependencies"] + groups["build"]}
    asked["dev"] = asked["run"] + [entry for entry in groups["dev"] if isinstance(entry, str)]
    asked["docs"] = asked["run"] + [entry for entry in groups["docs"] if isinstance(entry, str)]
    for lock, requirements in asked.items():
        locked = {normal(pin) for pin in pins(lock)}
        assert {normal(requirement) for requirement in requirements} <= locked
