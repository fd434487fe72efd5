# SPDX-License-Identifier: Apache-2.0
"""What people type and what they read, as text: each file in `journeys/` is one story.

A line `$ billow ...` is run as it stands; below it is what it prints, talk (stderr) behind `! `,
and `=> N` where it ends with another code than 0. What differs from run to run is named: PLAN, RUN,
TOKEN, TIME and so on; `$PLAN` is the last one seen. A first line `# without a server` tells a story
in which none runs. BILLOW_REWRITE=1 writes the files anew, to be read as a diff.
"""

import difflib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.control_planes import BILLOW, control_plane, environment

HERE = Path(__file__).parent
JOURNEYS = sorted((HERE / "journeys").glob("*.txt"))
ALONE = "# without a server"
NAMED = {
    "PLAN": r"\bp-[0-9a-f]{15}\b",
    "RUN": r"\br-[0-9a-f]{15}\b",
    "SECRET": r"\bbw_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])",
    "TOKEN": r"\b[0-9a-f]{16}\b",
    "DIGEST": r"\b[0-9a-f]{32}\b",
    "TIME": r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ|\b1\d{9}\.\d+\b",
    "AGE": r"(?<=seen )\d+ s(?= ago)",
    "EVENT": r"(?m)^\d+(?=\tTIME)",
    "USE": r"(?<=_used_milli\t)[\d.]+|(?<=_used_mib\t)[\d.]+|"
    r"(?<=\nload\t)[\d.]+|(?<=_pressure\t)[\d.e-]+|(?<=\nswap_mib_s\t)[\d.]+|(?<=\ncpu_wait\t)[\d.e-]+|"
    r"(?<=\nwatts\t)[\d.]+",
}
PASSING = re.compile(r"! waiting for .*\n")


class Teller:
    """Runs the commands of a story."""

    def __init__(self, state: Path, folder: Path) -> None:
        self._environment = environment(state)
        self._folder = folder
        self._seen = {"STATE": str(state)}

    def said(self, command: str) -> str:
        """Return what a command prints and how it ends."""
        words = shlex.split(command)
        assert words[0] == "billow", command
        words = [re.sub(r"\$([A-Z]+)", lambda it: self._seen[it[1]], word) for word in words]
        done = subprocess.run(
            [*BILLOW, *words[1:]],
            env=self._environment, cwd=self._folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        text = done.stdout + "".join(f"! {line}\n" for line in done.stderr.splitlines())
        text += f"=> {done.returncode}\n" if done.returncode else ""
        return self._named(PASSING.sub("", text))

    def _named(self, text: str) -> str:
        for name, form in NAMED.items():
            for found in re.findall(form, text):
                self._seen[name] = found
            text = re.sub(form, name, text)
        return text.replace(self._seen["STATE"], "STATE")


def retold(story: str, teller: Teller) -> Iterator[str]:
    """Yield the story's lines with what its commands print now."""
    printing = False
    for line in story.splitlines(keepends=True):
        if line.startswith("$ "):
            yield line
            yield teller.said(line[2:].strip())
            printing = True
        elif line.startswith("#") or not line.strip():
            yield line
            printing = False
        else:
            assert printing, f"a line that no command printed: {line}"


@pytest.mark.parametrize("path", JOURNEYS, ids=lambda path: path.stem)
def test_the_story_is_still_true(path: Path, tmp_path: Path) -> None:
    story = path.read_text()
    state = tmp_path / "state"
    with ExitStack() as stack:
        if not story.startswith(ALONE):
            pool = str(HERE / "journeys" / "small.pool")
            stack.enter_context(control_plane(state, "--pool", pool, "--speed", "200"))
        now = "".join(retold(story, Teller(state, HERE / "journeys")))
    if os.environ.get("BILLOW_REWRITE"):
        path.write_text(now)
    changed = difflib.unified_diff(story.splitlines(), now.splitlines(), "told", "now", "", "", 1)
    assert now == story, "\n".join(changed)


def test_there_are_stories() -> None:
    assert len(JOURNEYS) >= 4
