# SPDX-License-Identifier: Apache-2.0
"""`billow report` and `billow policy`: lines in a pipe, a page on a terminal, one document."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from billow.cli.output import Document, Output
from billow.cli.pictures import drawn
from billow.cli.report_lines import lines
from billow.cli.report_page import print_page
from billow.model.document import written
from billow.model.report import Form, Picture, Series
from tests.control_planes import ControlPlane, control_plane, environment
from tests.sample_report import PROGRAM

POOL = Path(__file__).parent / "journeys" / "small.pool"


class Screen(io.StringIO):
    """A terminal that keeps what was printed."""

    def isatty(self) -> bool:
        """Return that a person looks."""
        return True


def billow(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the sample among its capabilities."""
    return subprocess.run(
        [*PROGRAM, *words], cwd=state, env=environment(state), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def answer(folder: Path, *words: str) -> Document:
    """Return the document of a report on the small pool."""
    done = billow(folder, "report", "sample", "--pool", str(POOL), "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    state = tmp_path_factory.mktemp("reports")
    (state / "billow.toml").write_text("[policy.sample]\nrows = 2\n")
    with control_plane(state, "--pool", str(POOL), "--speed", "200", program=PROGRAM) as plane:
        yield plane


def test_a_pipe_gets_a_line_per_fact(tmp_path: Path) -> None:
    done = billow(tmp_path, "report", "sample", "--pool", str(POOL), "-p", "full_share=0.25")
    said = [line.split("\t") for line in done.stdout.splitlines()]
    assert said[0] == ["summary", "2 of 3 hosts are full"]
    assert said[1] == ["measure", "full_hosts", "hosts", "2"]
    assert said[3] == ["measure", "unseen_kwh", "kwh", ""]
    assert ["row", "fullest", "h1", "0.25", "57344"] in said
    assert ["value", "lines", "1000003600", "reserved", "0.5"] in said


def test_billow_toml_says_what_is_usual_and_set_wins(tmp_path: Path) -> None:
    (tmp_path / "billow.toml").write_text("[policy.sample]\nrows = 1\nloud = true\n")
    assert answer(tmp_path)["policy"] == {"full_share": 0.5, "rows": 1, "loud": True}
    assert answer(tmp_path, "--set", "rows=2")["policy"]["rows"] == 2
    assert len(answer(tmp_path, "--set", "rows=2")["report"]["grids"][0]["rows"]) == 2
    (tmp_path / "billow.toml").write_text("[policy.sample]\nlines = 1\n")
    done = billow(tmp_path, "report", "sample", "--pool", str(POOL))
    assert done.returncode == 2
    assert "[policy.sample] in the settings is not valid" in done.stderr
    assert "lines: Extra inputs are not permitted" in done.stderr


def test_a_person_gets_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    options = ("--planned", "--set", "loud=true", "--set", "full_share=0.2")
    monkeypatch.setenv("COLUMNS", "120")
    print_page(Output(screen, screen), answer(tmp_path, *options))
    page = screen.getvalue()
    assert "before: 2 of 3 hosts are full" in page
    assert "after: 2 of 3 hosts are full" in page
    assert "AT BEST" in page
    assert "The fullest hosts after the plan" in page
    assert "h1   ████████████ 25 %" in page
    assert "2001-09-09 01:46 UTC .. 2001-09-09 03:46 UTC" in page
    assert "warning: host/h1: it is full" in page


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    for words, said in (
        (("nonsense", "--pool", str(POOL)), "no report 'nonsense'"),
        (("sample", "--planned"), "--planned goes with --pool"),
        (("sample", "--pool", str(POOL), "--plan", "p-1"), "knows no plans"),
        (("sample", "--pool", str(POOL), "--set", "rows=0"), "rows: "),
    ):
        done = billow(tmp_path, "report", *words)
        assert done.returncode in {1, 2}
        assert said in done.stderr


def test_reports_of_a_running_pool(plane: ControlPlane) -> None:
    listed = billow(plane.state, "report").stdout
    assert "sample\tSays how full hosts are\n" in listed
    made = billow(plane.state, "instance", "create", "big", "cpu=12", "--dry-run", "--json")
    plan = json.loads(made.stdout)["id"]
    now = json.loads(billow(plane.state, "report", "sample", "--json").stdout)
    assert now["after"] is None
    assert now["policy"]["rows"] == 2
    both = json.loads(billow(plane.state, "report", "sample", "--plan", plan, "--json").stdout)
    assert both["plan_id"] == plan
    assert both["after"]["measures"][0]["value"] == now["report"]["measures"][0]["value"] + 1
    piped = billow(plane.state, "report", "sample", "--plan", plan).stdout
    assert "measure\tfull_hosts\thosts\t0\t1\n" in piped
    missing = billow(plane.state, "report", "sample", "--plan", "p-000000000000000")
    assert missing.returncode == 1


def test_knobs_are_listed_with_what_is_set(plane: ControlPlane) -> None:
    said = billow(plane.state, "policy", "sample").stdout.splitlines()
    assert "rows\t2\t3\t\t1 to 50\tHosts that are listed." in said
    assert "sample\tSays how full hosts are\tyes\trows" in billow(plane.state, "policy").stdout
    here = billow(plane.state, "policy", "sample", "--here").stdout.splitlines()
    assert here == said
    assert billow(plane.state, "policy", "nonsense").returncode == 1
    document = json.loads(billow(plane.state, "policy", "sample", "--json").stdout)
    assert document["reports"] is True


def test_a_control_plane_does_not_start_with_a_wrong_policy(tmp_path: Path) -> None:
    (tmp_path / "billow.toml").write_text("[policy.defrog]\nmoves = 1\n")
    done = billow(tmp_path, "up", "--engine", "sim", "--port", "0", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "'defrog', which is no capability" in done.stderr


def picture(form: Form, *values: float, unit: str = "share") -> Document:
    """Return a picture as a document."""
    labels = tuple(f"h{place}" for place in range(len(values)))
    return written(Picture("key", "title", form, labels, (Series("one", values),), unit))


def test_pictures_take_any_values() -> None:
    nan = float("nan")
    for form in Form:
        for values in ((), (0.0,), (nan, 0.5), (-1.0, 2.0), (1e9,) * 100):
            assert drawn(picture(form, *values)).startswith("title")
    assert "and 76 more" in drawn(picture(Form.BARS, *([1.0] * 100)))
    full = drawn(picture(Form.BARS, 1.0, 0.5)).splitlines()
    assert full[1].count("█") == 2 * full[2].count("█")


def test_a_report_without_anything_is_told(tmp_path: Path) -> None:
    empty = {"title": "t", "summary": "s", "measures": [], "grids": [], "pictures": [],
             "findings": []}  # fmt: skip
    document = {"name": "x", "plan_id": "", "policy": {}, "report": empty, "after": None}
    screen = Screen()
    print_page(Output(screen, screen), document)
    assert screen.getvalue() == "t\ns\n"
    assert list(lines(document)) == [["summary", "s"]]
