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

OWN = [word for each in NETWORKS for word in (f"--{each}", "127.0.0.1")]


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `billow agent`, the whole command."""
    command = [sys.executable, "-m", "billow", "agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_addresses() -> None:
    assert address_of("10.0.0.1") == ("10.0.0.1", 8521)
    assert address_of("10.0.0.1:99") == ("10.0.0.1", 99)
    assert address_of("[fd00::1]:99") == ("fd00::1", 99)
    assert address_of("fd00::1") == ("fd00::1", 8521)
    for wrong in ("10.0.0.1:many", "", ":99", "[]:99"):
        with pytest.raises(Invalid):
            address_of(wrong)


@pytest.mark.parametrize("text", ["c1.example", "c1.example:8521", "[c1]:8521", "10.0.0"])
def test_a_name_is_no_address_for_to_look_it_up_may_hang(text: str) -> None:
    with pytest.raises(Invalid, match="is no IP address"):
        address_of(text)
    with pytest.raises(Invalid, match="is no IP address"):
        read([*OWN, "--management", text])


def test_controllers_have_one_address_or_one_on_each_network() -> None:
    found = controllers_of(["c1=10.0.1.1:1,10.0.2.1:2,[fd00::1]:3", "10.0.0.9"])
    places = [("10.0.1.1", 1), ("10.0.2.1", 2), ("fd00::1", 3)]
    assert found["c1"] == dict(zip(NETWORKS, places, strict=True))
    assert set(found["10.0.0.9"].values()) == {("10.0.0.9", 8521)}
    for lacking in ("c1=10.0.0.1,10.0.0.2", "c1=10.0.0.1,,10.0.0.3", "c1="):
        with pytest.raises(Invalid) as caught:
            controllers_of([lacking])
        assert "two may be the same" in caught.value.fix


@pytest.mark.parametrize(
    "words", [["--pool", "here"], ["--pool", "a=b"], ["--beat", "0"], ["--lease", "10"]]
)
def test_what_makes_no_sense(words: list[str]) -> None:
    read(OWN)
    with pytest.raises(Invalid, match=r"^(?!.*three networks)"):
        read([*OWN, *words])


@pytest.mark.parametrize("lacking", NETWORKS)
def test_without_an_address_on_each_network_it_does_not_start(lacking: Network) -> None:
    place = OWN.index(f"--{lacking}")
    words = OWN[:place] + OWN[place + 2 :]
    with pytest.raises(Invalid, match=f"no --{lacking}\n") as caught:
        read(words)
    assert "the same address" in caught.value.fix
    options, _ = read([*words, "--check"])
    assert lacking not in options.local


def test_controllers_of_the_enrolment_are_taken(tmp_path: Path) -> None:
    (tmp_path / "controllers").write_text("c1=10.0.1.1:1,10.0.2.1:2,10.0.3.1:3\n")
    options, _ = read([*OWN, "--state", str(tmp_path)])
    assert options.controllers["c1"][Network.TENANT] == ("10.0.2.1", 2)


def test_a_host_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    done = agent(*OWN, "--state", str(tmp_path))
    assert done.returncode == 1
    assert "billow agent enrol URL TOKEN" in done.stderr


def test_it_says_what_it_can_look_at(tmp_path: Path, authority: Authority) -> None:
    authority.papers(tmp_path, "host", "h1")
    whole = agent("--state", str(tmp_path), "--controller", "c1=127.0.0.1", *OWN, "--check")
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
