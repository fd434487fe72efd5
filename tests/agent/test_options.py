# SPDX-License-Identifier: Apache-2.0
"""What an agent is told, and what it says when that makes no sense."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from billow.agent.options import address_of, controllers_of, read
from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, Network
from tests.agent.papers import Authority


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `billow agent`, the whole command."""
    command = [sys.executable, "-m", "billow", "agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_addresses() -> None:
    assert address_of("10.0.0.1") == ("10.0.0.1", 8521)
    assert address_of("10.0.0.1:99") == ("10.0.0.1", 99)
    assert address_of("[fd00::1]:99") == ("fd00::1", 99)
    assert address_of("fd00::1") == ("fd00::1", 8521)
    with pytest.raises(Invalid):
        address_of("10.0.0.1:many")


def test_controllers_have_one_address_or_one_on_each_network() -> None:
    found = controllers_of(["c1=a:1,b:2,c:3", "d"])
    assert found["c1"] == dict(zip(NETWORKS, [("a", 1), ("b", 2), ("c", 3)], strict=True))
    assert set(found["d"].values()) == {("d", 8521)}
    assert controllers_of(["c1=a,,c"])["c1"].keys() == {Network.MANAGEMENT, Network.STORAGE}
    with pytest.raises(Invalid):
        controllers_of(["c1=a,b"])


@pytest.mark.parametrize(
    "words", [["--pool", "here"], ["--pool", "a=b"], ["--beat", "0"], ["--lease", "10"]]
)
def test_what_makes_no_sense(words: list[str]) -> None:
    with pytest.raises(Invalid):
        read(words)


def test_controllers_of_the_enrolment_are_taken(tmp_path: Path) -> None:
    (tmp_path / "controllers").write_text("c1=a:1,b:2,c:3\n")
    options, _ = read(["--state", str(tmp_path)])
    assert options.controllers["c1"][Network.TENANT] == ("b", 2)


def test_a_host_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    done = agent("--state", str(tmp_path))
    assert done.returncode == 1
    assert "billow agent enrol URL TOKEN" in done.stderr


def test_it_says_what_it_can_look_at(tmp_path: Path, authority: Authority) -> None:
    authority.papers(tmp_path, "host", "h1")
    own = [word for each in NETWORKS for word in (f"--{each}", "127.0.0.1")]
    whole = agent("--state", str(tmp_path), "--controller", "c1=127.0.0.1", *own, "--check")
    assert whole.returncode == 0, whole.stdout
    assert "ok      kernel" in whole.stdout
    assert "absent  gateway" in whole.stdout
    part = agent("--state", str(tmp_path), "--check", "--json")
    assert part.returncode == 1
    lines = {each["what"]: each for each in json.loads(part.stdout)}
    assert lines["papers"]["well"] is True
    assert lines["controllers"]["well"] is False


def test_it_stays_light() -> None:
    heavy = "{'numpy', 'pydantic', 'typer', 'sqlalchemy', 'asyncio', 'cryptography'}"
    modules = "billow.agent.speaker, billow.agent.prober, billow.agent.parent, billow.agent.trust"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
