# SPDX-License-Identifier: Apache-2.0
"""Real agents in namespaces of their own, and controllers on their loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.controller import Controller
from tests.agent.ground import Host
from tests.agent.papers import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def host(tmp_path: Path, authority: Authority) -> Iterator[Host]:
    made = Host("h1", authority.papers(tmp_path / "h1", "host", "h1"))
    yield made
    made.close()


@pytest.fixture
def controllers(
    tmp_path: Path, authority: Authority, host: Host
) -> Iterator[Callable[..., Controller]]:
    """Begin controllers that listen in the host's namespace."""
    made: list[Controller] = []

    def begin(name: str, *, role: str = "controller", port: int = 0) -> Controller:
        papers = authority.papers(tmp_path / name, role, name)
        made.append(host.inside(lambda: Controller(papers, port=port)))
        return made[-1]

    yield begin
    for controller in made:
        controller.close()
