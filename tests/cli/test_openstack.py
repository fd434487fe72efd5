# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from billow.cli.main import app
from billow.cli.output import Output
from billow.cli.overview_page import print_overview
from billow.sense.files import write_pool
from tests.engines.openstack.replay import Replay
from tests.openstack.clouds import cloud

RUN = CliRunner()


@pytest.fixture(scope="module")
def pool_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cloud") / "north.pool"
    write_pool(cloud(), path)
    return path


def test_a_report_for_programs(pool_file: Path) -> None:
    answer = RUN.invoke(app, ["openstack", "report", "--pool", str(pool_file), "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["cloud"] == "north.pool"
    assert document["hosts"] == 20


def test_a_report_in_a_pipe_is_lines_of_cells(pool_file: Path) -> None:
    answer = RUN.invoke(app, ["openstack", "report", "--pool", str(pool_file)])
    cells = [line.split("\t") for line in answer.stdout.splitlines()]
    assert {each[0] for each in cells} == {
        *("total", "heat", "fit", "fragmentation", "hot", "deaths", "win", "wrong")
    }
    assert sum(each[0] == "heat" for each in cells) == 20


def test_a_report_as_a_page(pool_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = ["openstack", "report", "--pool", str(pool_file), "--html", str(page)]
    assert RUN.invoke(app, asked).exit_code == 0
    assert "<h1>20 hosts, 150 instances</h1>" in page.read_text()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Replay:
    """Let every cloud be the one whose answers were recorded."""
    replay = Replay()
    module = "billow.engines.openstack.cloud"
    monkeypatch.setattr(f"{module}.open_transport", lambda *_: replay)
    monkeypatch.setattr("billow.openstack.overview.THINK_S", 0.2)
    return replay


def test_a_report_of_a_cloud_only_reads(recorded: Replay, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = ["openstack", "report", "--cloud", "north", "--json", "--html", str(page)]
    answer = RUN.invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["cloud"] == "north"
    assert document["hosts"] > 0
    assert f"<h1>{document['hosts']} hosts" in page.read_text()
    assert {each.method for each in recorded.sent} == {"GET"}


def test_books_that_cannot_be_read_are_told_of(recorded: Replay) -> None:
    recorded.say("/os-migrations", {"forbidden": {"message": "a role"}}, 403)
    answer = RUN.invoke(app, ["openstack", "report", "--cloud", "north", "--json"])
    assert answer.exit_code == 0, answer.output
    wrong = json.loads(answer.stdout)["sections"][-1]["report"]
    assert "whether anything leaks could not be told" in wrong["findings"][0]["text"]


class _Terminal:
    """A place to write to that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("full", [False, True])
def test_a_report_for_people(pool_file: Path, *, full: bool) -> None:
    answer = RUN.invoke(app, ["openstack", "report", "--pool", str(pool_file), "--json"])
    terminal = _Terminal()
    output = Output(terminal, terminal)  # type: ignore[arg-type]
    print_overview(output, json.loads(answer.stdout), full=full)
    lines = terminal.text.splitlines()
    assert lines[0] == "north.pool: 20 hosts, 150 instances"
    assert "az1" in lines
    assert "Whose death would it not survive?" in lines
    assert any("First" in each or "The first moves" in each for each in lines) is full
