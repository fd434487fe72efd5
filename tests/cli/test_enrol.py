# SPDX-License-Identifier: Apache-2.0
"""Enrolling a host by commands alone: a token here, papers there, and expelled again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_incidents import POOL, billow
from tests.control_planes import ControlPlane, control_plane


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("enrolling"), "--pool", str(POOL)) as plane:
        yield plane


def test_a_host_is_enrolled_by_commands_alone(plane: ControlPlane, tmp_path: Path) -> None:
    token, said = billow(plane, "host", "enrol", "h1")
    assert f"billow agent enrol URL {token.strip()} --host h1" in said
    assert "the pool has no host" not in said
    papers = ("--host", "h1", "--state", str(tmp_path))
    billow(plane, "agent", "enrol", plane.url, token.strip(), *papers)
    assert (tmp_path / "agent.crt").exists()
    billow(plane, "host", "expel", "h1", "--yes")


def test_a_host_may_be_enrolled_before_it_is_in_the_pool(plane: ControlPlane) -> None:
    token, said = billow(plane, "host", "enrol", "h9")
    assert token.strip()
    assert "the pool has no host h9 now" in said


def test_only_who_is_enrolled_is_expelled(plane: ControlPlane) -> None:
    _, said = billow(plane, "host", "expel", "nohost", "--yes", code=1)
    assert "no agent of host 'nohost' is enrolled" in said


def test_an_agent_with_a_wrong_token_is_told_in_words(plane: ControlPlane, tmp_path: Path) -> None:
    papers = ("--host", "h1", "--state", str(tmp_path))
    _, said = billow(plane, "agent", "enrol", plane.url, "wrong", *papers, code=1)
    assert "the token enrols nobody" in said
    assert "billow host enrol HOST" in said
    assert "{" not in said
