# SPDX-License-Identifier: Apache-2.0
"""The command line on a terminal: tables, questions, a live screen."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_planes import BILLOW, ControlPlane, control_plane, environment

POOL = Path(__file__).parent / "journeys" / "small.pool"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    state = tmp_path_factory.mktemp("terminal")
    with control_plane(state, "--pool", str(POOL), "--speed", "200") as plane:
        yield plane


class Terminal:
    """A person at a terminal who runs one command."""

    def __init__(self, state: Path, *words: str, **more: str) -> None:
        self._end, theirs = pty.openpty()
        settings = {**environment(state), "TERM": "xterm", "COLUMNS": "120", **more}
        self.process = subprocess.Popen(
            [*BILLOW, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=settings
        )
        os.close(theirs)
        self.raw = ""

    @property
    def text(self) -> str:
        """What stands on the screen, without colours."""
        return ESCAPES.sub("", self.raw).replace("\r", "")

    def until(self, wanted: str) -> None:
        """Read until a text appears."""
        deadline = time.monotonic() + 90
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._end, text.encode())

    def ended(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        if not select.select([self._end], [], [], 90)[0]:
            return False
        try:
            data = os.read(self._end, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


def test_a_table_has_a_head_and_units(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "host", "list")
    assert terminal.ended() == 0
    lines = terminal.text.splitlines()
    assert lines[0].split()[:3] == ["HOST", "POWER", "HEALTH"]
    assert lines[1].split()[:3] == ["h1", "on", "ok"]
    assert "64 GiB" in lines[1]
    assert "\t" not in terminal.text


def test_no_color_means_none(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "host", "list", NO_COLOR="1")
    assert terminal.ended() == 0
    assert not re.search(r"\x1b\[[0-9;]*3\dm", terminal.raw)


def test_no_means_no(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "instance", "create", "shop")
    terminal.until("Apply this plan?")
    assert "place shop" in terminal.text
    terminal.type("n\n")
    assert terminal.ended() == 5
    assert "nothing was changed" in terminal.text


def test_yes_means_yes_and_shows_progress(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "instance", "create", "shop")
    terminal.until("Apply this plan?")
    terminal.type("y\n")
    assert terminal.ended() == 0
    assert re.search(r"r-[0-9a-f]{15} +done", terminal.text)
    assert "0/1" in terminal.text or "1/1" in terminal.text
    listing = Terminal(plane.state, "instance", "show", "shop")
    assert listing.ended() == 0
    assert re.search(r"STATE: +running", listing.text)


def test_no_input_never_asks(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "instance", "delete", "db-1", "--no-input")
    assert terminal.ended() == 5
    assert "say it with --yes" in terminal.text


def test_watch_draws_the_pool_until_it_is_left(plane: ControlPlane) -> None:
    terminal = Terminal(plane.state, "watch", "--after", "0")
    terminal.until("3 hosts,")
    terminal.until("pool.sensed")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ended() in {1, 130}
    assert "Traceback" not in terminal.text
