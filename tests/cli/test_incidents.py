# SPDX-License-Identifier: Apache-2.0
"""Incidents on the command line: what a person on call reads, and what becomes of a word."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_planes import BILLOW, ControlPlane, control_plane, environment
from tests.recorded import held, record_now, recovered

DONE, HELD = "ha-gone-1-1", "ha-gone-2-2"
POOL = Path(__file__).parent / "journeys" / "small.pool"


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane that knows two incidents."""
    with control_plane(tmp_path_factory.mktemp("struck"), "--pool", str(POOL)) as plane:
        record_now(
            f"sqlite:///{plane.state}/billow.db", recovered(DONE, "gone-1"), held(HELD, "gone-2")
        )
        yield plane


def billow(plane: ControlPlane, *words: str, code: int = 0) -> tuple[str, str]:
    """Return what a command prints, data and talk."""
    done = subprocess.run(
        [*BILLOW, *words],
        env=environment(plane.state), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_incidents_are_listed_and_shown(struck: ControlPlane) -> None:
    out, _ = billow(struck, "incident", "list")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == [HELD, DONE]
    assert rows[0][7] == "nothing proves yet that it is dead"
    assert rows[1][5:7] == ["3", "3"]
    out, _ = billow(struck, "incident", "show", DONE)
    lines = out.splitlines()
    assert "proved\tbmc: off, read twice 1 s apart" in lines
    assert any(line.startswith("seen\tmanagement: lost for ") for line in lines)
    assert any(line.startswith("gate storm open\t") for line in lines)
    assert any(line.startswith("otherwise\tif ") for line in lines)
    assert "web\t0\tstarted\th2\t1\t" in lines
    assert any("\tcut-power gone-1\tcontroller-1" in line for line in lines)
    mine, _ = billow(struck, "incident", "list", "--host", "gone-1", "--open")
    assert mine.count("\n") == 1


def test_what_was_recorded_is_taken_again_from_a_file_or_by_id(
    struck: ControlPlane, tmp_path: Path
) -> None:
    kept, _ = billow(struck, "incident", "show", DONE, "--json")
    (tmp_path / "kept.json").write_text(kept)
    by_file = billow(struck, "incident", "replay", str(tmp_path / "kept.json"))
    assert by_file == billow(struck, "incident", "replay", DONE)
    assert "6 steps, 0 come out otherwise" in by_file[1]
    whole = json.loads(kept)
    whole["steps"][2]["deeds"] = []
    (tmp_path / "other.json").write_text(json.dumps(whole))
    out, said = billow(struck, "incident", "replay", str(tmp_path / "other.json"), code=1)
    assert "1 deeds would be begun, 0 were" in out
    assert "6 steps, 1 come out otherwise" in said


def test_what_cannot_be_is_told_plainly(struck: ControlPlane, tmp_path: Path) -> None:
    _, said = billow(struck, "incident", "replay", str(tmp_path), code=2)
    assert "is a folder" in said
    word = ("incident", "release", HELD, "--dead", "--yes", "--why", "")
    assert "--why is empty" in billow(struck, *word, code=2)[1]
    leave = ("host", "maintenance", "h1", "--why", "a fan", "--for", "99d")
    assert "at most 30d" in billow(struck, *leave, code=2)[1]


def test_a_failed_host_names_its_open_incident(struck: ControlPlane) -> None:
    assert "open incident" not in billow(struck, "host", "show", "h2")[0]
    record_now(f"sqlite:///{struck.state}/billow.db", recovered("ha-h3-9", "h3"))
    out, _ = billow(struck, "host", "show", "h3")
    assert "incident\tha-h3-9" in out.splitlines()


def test_a_word_is_kept_with_its_speaker(struck: ControlPlane) -> None:
    why = "I pulled its plug"
    _, said = billow(struck, "incident", "release", HELD, "--why", why, "--dead", code=5)
    assert "nobody is there to say yes" in said
    billow(struck, "incident", "release", HELD, "--why", why, "--dead", "--yes")
    out, _ = billow(struck, "incident", "show", HELD)
    assert f"vouched\tadmin: {why}" in out.splitlines()
    assert out.splitlines()[-1].endswith("admin (a person)")
    _, said = billow(struck, "incident", "replay", HELD)
    assert "0 come out otherwise" in said


def test_who_watches_and_who_is_left_alone_is_shown(struck: ControlPlane) -> None:
    billow(struck, "host", "maintenance", "h1", "--for", "2h", "--why", "a new fan")
    out, _ = billow(struck, "ha", "status")
    record, observers, left_alone = out.split("\n\n")
    assert "armed\tyes\nwatching\tyes\nhosts\t3\n" in record + "\n"
    assert "management=0 tenant=0 storage=0" in observers
    assert left_alone.startswith("host\th1\tadmin\ta new fan\t")
    billow(struck, "host", "maintenance", "h1", "--end")
